"""A node of the cluster is announced to be taken away while workers of a run are on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mimic_ray.store.checkpoint import committed_step
from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.end_to_end.local_head import local_head
from tests.end_to_end.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.ray]

STEPS = 2000


def test_a_run_commits_when_a_node_is_about_to_go_and_goes_on_without_it(
    tmp_path, purify_arguments
):
    out = tmp_path / "run"
    options = ("--workers", "1-2", "--cpus-per-worker", "1", "--commit-every", "1000000")
    with local_head(cpus=1, jobs=False) as head:
        node = head.join()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mimic_ray"),
                *purify_arguments(out, *options, "--address", head.ray_address, steps=STEPS),
            ],
            env={**head.environment, "RAY_AUTH_MODE": "token"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = out / "metrics.jsonl"
        wait_until(lambda: len(log.read_text().splitlines()) >= 50, process, timeout_s=600)
        assert committed_step(RunFolder(out)) is None
        os.kill(node.pid, signal.SIGTERM)  # as Kubernetes does it to a pod
        deadline = time.monotonic() + 25  # the node works for 30 s more
        while not committed_step(RunFolder(out)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert node.poll() is None
        assert committed_step(RunFolder(out)) >= 50
        _, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stderr
    rows = read_metrics(RunFolder.open(out))
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
