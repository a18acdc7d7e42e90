"""The real command in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def mimic_ray():
    """Runs the real command in a process of its own."""

    def run(*arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mimic_ray", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    return run


@pytest.fixture(scope="session")
def head():
    """A Ray head with a job server and a token, for all tests that need one; see local_head.py."""
    from tests.end_to_end.local_head import local_head

    with local_head() as started:
        yield started


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Small runs that can be killed, signalled and made to meet bad disks; see forked_runs.py."""
    from tests.end_to_end.forked_runs import runs_below

    with runs_below(tmp_path_factory.mktemp("runs")) as found:
        yield found
