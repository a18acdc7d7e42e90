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
