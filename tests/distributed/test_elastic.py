"""A run whose workers change while it runs, through the real command on a private Ray."""

import json
import os
import signal
import subprocess
import sys

import pytest

from mimic_ray.store.metrics_log import read_metrics
from mimic_ray.store.run_folder import RunFolder
from tests.end_to_end.processes import start, started_by, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.ray]

STEPS = 600


def train_workers(mark: str) -> list[int]:
    """Process ids of the command's own Ray Train workers."""
    return [pid for pid, command in started_by(mark).items() if "RayTrainWorker" in command]


def test_after_a_worker_died_only_the_steps_since_the_last_checkpoint_are_repeated(
    tmp_path, purify_arguments
):
    out = tmp_path / "run"
    options = ("--workers", "1-3", "--cpus-per-worker", "1", "--commit-every", "10")
    process = start(str(out), purify_arguments(out, *options, steps=STEPS))
    log = out / "metrics.jsonl"
    wait_until(lambda: len(log.read_text().splitlines()) > 30, process)
    before = train_workers(str(out))
    # As many as fit this machine, at most 3.
    assert len(before) == min(3, os.cpu_count() or 1)
    os.kill(before[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    record = json.loads((out / "run.json").read_text())
    assert (record["status"], record["step"]) == ("finished", STEPS)
    assert 1 <= record["workers"] <= len(before)
    rows = read_metrics(RunFolder.open(out))
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert train_workers(str(out)) == []


def test_an_error_that_would_repeat_is_not_retried(tmp_path, purify_arguments):
    options = ("--workers", "1-2", "--cpus-per-worker", "1", "--max-failures", "5")
    broken = ("--set", "training.learning_rate=1e30", "--set", "training.schedule=constant")
    arguments = purify_arguments(tmp_path / "run", *options, *broken)
    done = subprocess.run(
        [sys.executable, "-m", "mimic_ray", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert "not finite at step" in done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "failed"
