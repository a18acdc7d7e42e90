"""A run whose workers change while it runs, through the real command on a private Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mimic_ray.runs.folder import RunFolder
from mimic_ray.runs.metrics import read_metrics

STEPS = 600


def train_workers(mark: str) -> list[int]:
    """Process ids of the command's own Ray Train workers."""
    wanted, found = f"MIMIC_RAY_TEST={mark}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile, or not ours to read
            if b"RayTrainWorker" in (process / "cmdline").read_bytes() and wanted in (
                process / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def wait_until(true, process: subprocess.Popen[str], timeout_s: float = 150) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        if true():
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"it never came: {process.communicate()}")


@pytest.mark.slow
def test_a_worker_that_dies_costs_only_the_steps_since_the_last_commit(tmp_path, purify_arguments):
    out = tmp_path / "run"
    options = ("--workers", "1-3", "--cpus-per-worker", "1", "--commit-every", "10")
    process = subprocess.Popen(
        [sys.executable, "-m", "mimic_ray", *purify_arguments(out, *options, steps=STEPS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MIMIC_RAY_TEST": str(out)},
    )
    log = out / "metrics.jsonl"
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) > 30, process)
    before = train_workers(str(out))
    # As many as this machine has room for, of the 3 that were allowed.
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


@pytest.mark.slow
def test_an_error_that_would_come_again_is_not_tried_again(tmp_path, purify_arguments):
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
