"""SIGKILL at random moments while a child commits in a loop."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.store.checkpoint import latest

SCRIPT = Path(__file__).with_name("commit_forever.py")


@contextmanager
def writers(kind):
    """start(folder) -> process id of a child that commits into `folder` for ever."""
    command = [sys.executable, str(SCRIPT), kind]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def start(folder):
        server.stdin.write(f"{folder.path}\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    with server:
        yield start
        server.stdin.close()


def kill_at_random(start, folder, chance, longest_s=0.15):
    child = start(folder)
    # From the first instruction to some twenty commits later.
    time.sleep(chance.uniform(0, longest_s))
    os.kill(child, signal.SIGKILL)
    while Path(f"/proc/{child}").exists():  # a killed process may still be writing one page
        time.sleep(0.001)


def check_whole(folder):
    """The step of the latest checkpoint, whose every number must be that step."""
    found = latest(folder)
    if found is None:
        return 0
    assert found.instead_of is None
    assert found.state["step"] == found.step
    assert found.state["weights"].unique().tolist() == [found.step]
    return found.step


@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_a_writer_killed_anywhere_leaves_a_whole_checkpoint_and_loses_no_commit(folder, kills):
    chance = random.Random(kills)
    steps = [0]
    with writers("whole") as start:
        for number in range(8 * kills):
            if number >= kills and steps[-1] > 5:
                break
            # Longer where a busy machine lets the children commit little.
            kill_at_random(start, folder, chance, 0.15 * (1 + number // kills))
            steps.append(check_whole(folder))
            folder.remove_leftovers()
    assert steps == sorted(steps)
    assert steps[-1] > 5, "the children hardly committed, so nothing was tested"


def test_a_writer_that_writes_in_place_is_detected(folder):
    chance = random.Random(0)

    def kill_until_damaged(start):
        for number in range(160):
            # Longer on a busy machine, as above.
            kill_at_random(start, folder, chance, 0.15 * (1 + number // 20))
            latest(folder)

    with writers("in_place") as start, pytest.raises(DamagedCheckpointError):
        kill_until_damaged(start)
