"""A real purification, killed at every operation on its folder and at random times, then resumed.

What must hold whatever happened: the folder that is left has whole checkpoints only, and the same
command with --resume ends with the weights of a run that was not disturbed, bit for bit.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from contextlib import suppress

import pytest

from tests.end_to_end.forked_runs import Runs, check_every_checkpoint


def killed_at(runs: Runs, call: int, writer: str = "whole") -> str | None:
    """What is wrong after a SIGKILL at that operation."""
    out = runs.place / f"{writer}-{call}"
    ended = runs.run(out, fails_at=call, writer=writer)
    assert ended.status == -signal.SIGKILL, "it was never killed"
    found = runs.damage(out, writer)
    shutil.rmtree(out)
    return found


def test_a_run_has_many_operations_at_which_it_can_be_killed(runs):
    # Three commits of some thirty each; the start, the rows and the result.
    assert runs.calls > 150


# Within the second commit and in what follows the last; the slow test leaves none out.
@pytest.mark.parametrize("share", [0.4, pytest.param(0.9, marks=pytest.mark.slow)])
def test_a_run_killed_at_an_operation_ends_as_if_it_had_not_been(runs, share):
    assert killed_at(runs, int(share * runs.calls)) is None


@pytest.mark.slow
def test_a_run_killed_at_any_operation_ends_as_if_it_had_not_been(runs):
    damage = {call: killed_at(runs, call) for call in range(1, runs.calls + 1)}
    assert {call: found for call, found in damage.items() if found} == {}


def killed_after(runs: Runs, seconds: float) -> str | None:
    out = runs.place / "random"
    child = runs.start(out)
    time.sleep(seconds)
    with suppress(ProcessLookupError):  # it was faster
        os.kill(child, signal.SIGKILL)
    runs.end()
    found = runs.damage(out)
    shutil.rmtree(out)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 50])
def test_a_run_killed_at_a_random_time_ends_as_if_it_had_not_been(runs, kills):
    chance = random.Random(kills)
    times = [chance.uniform(0, runs.seconds) for _ in range(kills)]
    damage = {seconds: killed_after(runs, seconds) for seconds in times}
    assert {seconds: found for seconds, found in damage.items() if found} == {}


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(runs):
    """Each resume dies a little later than the one before it, so that every one gets somewhere."""
    out = runs.place / "again"
    chance = random.Random(1)
    runs.run(out, fails_at=60)
    for call in (5, 9, 60, 20):
        ended = runs.run(out, "--resume", fails_at=call + chance.randrange(4))
        assert ended.status == -signal.SIGKILL
        check_every_checkpoint(out)
    assert runs.damage(out) is None


@pytest.mark.slow
def test_the_tests_above_see_a_writer_that_writes_in_place(runs):
    """The same kills, with checkpoints written over each other."""
    out = runs.place / "whole-in-place"
    whole = runs.run(out, writer="in_place")
    assert whole.status == 0
    assert runs.damage(out, "in_place") is None  # as long as it is not killed
    second = whole.calls // 3
    damage = (killed_at(runs, call, "in_place") for call in range(second, second + 20))
    assert any("is damaged" in found for found in damage if found)
