"""Signals in every phase of a purification: exit code, committed state, nothing left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from mimic_ray.store.checkpoint import latest
from mimic_ray.store.run_folder import RunFolder
from tests.end_to_end.forked_runs import STEPS, Runs, weights
from tests.end_to_end.processes import start, started_by, wait_until, without_trial_note

# Spot machines give 30 s (Google) to 120 s (Amazon) from the signal to the end.
GRACE_S = 30


def left_of(child: int) -> list[Path]:
    """Living processes of the child's session: its own and what it started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == child and fields[0] != "Z":
            found.append(stat)
    return found


def stopped(runs: Runs, number: int, phase: str, times: int = 1) -> None:
    """A run stopped by a signal in that phase, and resumed to the same end.

    In a step or a commit it commits; before the first step there is nothing to commit.
    """
    out = runs.place / f"{number}-{phase}-{times}"
    child = runs.start(out, signal=[number, phase, times])
    ended = runs.end()
    said = (runs.place / "log").read_text()
    assert ended.status == 128 + number, said
    assert said.count("\n") == 1
    assert "--resume" in said
    assert "Traceback" not in said
    assert json.loads((out / "run.json").read_text())["status"] == "stopped"
    found = latest(RunFolder.open(out))
    if phase in ("folder", "profile"):
        assert found is None
        assert "Stopped before the first step" in said
    else:
        assert found is not None
        assert 0 < found.step < STEPS
        assert f"Stopped after step {found.step} of {STEPS}, which is saved" in said
    assert left_of(child) == []
    assert runs.damage(out) is None
    shutil.rmtree(out)


def test_a_signal_in_a_commit_commits_and_the_run_goes_on_to_the_same_end(runs):
    stopped(runs, signal.SIGTERM, "commit")


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["folder", "profile", "step", "commit"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("times", [1, 2])
def test_any_signal_in_any_phase_stops_the_run(runs, number, phase, times):
    stopped(runs, number, phase, times)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["profile", "commit"])
def test_whoever_asks_a_third_time_does_not_wait(runs, phase):
    out = runs.place / f"third-{phase}"
    ended = runs.run(out, signal=[signal.SIGINT, phase, 3])
    said = (runs.place / "log").read_text()
    assert ended.status == 130
    assert said == "Stopped by Ctrl-C.\n"
    assert json.loads((out / "run.json").read_text())["status"] != "running"
    assert runs.damage(out) is None


@pytest.mark.slow
def test_ctrl_c_while_the_result_is_written_leaves_a_run_that_can_end(runs):
    out = runs.place / "result"
    ended = runs.run(out, signal=[signal.SIGINT, "result", 1])
    assert ended.status == 130, (runs.place / "log").read_text()
    assert runs.damage(out) is None


def test_a_closed_stdout_ends_nothing(runs):
    """As of `mimic-ray purify ... | head -1`."""
    out = runs.place / "deaf"
    ended = runs.run(out, deaf=True)
    assert ended.status == 0
    assert without_trial_note((runs.place / "log").read_text()) == ""
    assert json.loads((out / "run.json").read_text())["status"] == "finished"
    assert weights(out) == runs.undisturbed


def rows(out: Path) -> int:
    return len((out / "metrics.jsonl").read_text().splitlines())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_two_workers_on_ray_commit_within_the_grace_time(tmp_path, purify_arguments, number):
    out = tmp_path / "run"
    process = start(str(out), purify_arguments(out, "--workers", "2", steps=4000))
    wait_until(lambda: rows(out) >= 5, process)
    assert started_by(str(out))
    process.send_signal(number)
    asked = time.monotonic()
    _, stderr = process.communicate(timeout=120)
    assert time.monotonic() - asked < GRACE_S
    assert process.returncode == 128 + number, stderr
    assert "--resume" in stderr
    found = latest(RunFolder.open(out))
    assert found is not None
    assert found.step >= 5
    assert started_by(str(out)) == {}
    assert not (out / ".ray").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_on_ray_end_with_a_driver_that_is_killed(tmp_path, purify_arguments, mimic_ray):
    """SIGKILL to the command alone: what it started ends by itself, Ray's agents later than all."""
    out = tmp_path / "run"
    process = start(str(out), purify_arguments(out, "--workers", "2", steps=4000))
    wait_until(lambda: (out / "checkpoints" / "latest.json").exists(), process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 180
    while started_by(str(out)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert started_by(str(out)) == {}
    found = latest(RunFolder.open(out))
    assert found is not None
    # Ray's own folder of the run is still there, which is harmless.
    steps = str(found.step + 8)
    (out / "recipe.toml").write_text(
        (out / "recipe.toml").read_text().replace("steps = 4000", f"steps = {steps}")
    )
    done = mimic_ray(*purify_arguments(out, "--local", "--resume", steps=found.step + 8))
    assert done.returncode == 0, done.stderr
    assert not (out / ".ray").exists()


@pytest.mark.slow
def test_a_process_group_that_is_stopped_leaves_nothing(runs):
    """Ctrl-C in a terminal goes to the whole group."""
    out = runs.place / "group"
    child = runs.start(out)
    deadline = time.monotonic() + 60
    while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(child, signal.SIGINT)
    ended = runs.end()
    assert ended.status in (130, 0), (runs.place / "log").read_text()
    assert left_of(child) == []
    assert runs.damage(out) is None
