"""A real purification, killed at every operation on its folder and at random times, then resumed.

What must hold whatever happened: the folder that is left has whole checkpoints only, and the same
command with --resume ends with the weights of a run that was not disturbed, bit for bit.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import time
from contextlib import suppress

import pytest

from tests.end_to_end.forked_runs import Runs, check_every_checkpoint
from tests.store.small_disk import small_disk


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


def failing_at(runs: Runs, call: int, fault: int) -> str | None:
    """What is wrong after that errno at that operation, once.

    A run may end well all the same, where what failed only shows how far it is.
    """
    out = runs.place / f"fault-{call}"
    ended = runs.run(out, fails_at=call, fault=fault)
    said = (runs.place / "log").read_text()
    found = None
    sentence = said.startswith("error: ") and said.count("\n") == 1
    if ended.status not in (0, 1) or (ended.status == 1 and not sentence):
        found = f"ended with {ended.status}: {said}"
    elif "fault of mimic-ray" in said:
        found = said
    found = found or runs.damage(out)
    shutil.rmtree(out, ignore_errors=True)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("share", "fault"), [(0.4, errno.ENOSPC), (0.8, errno.EIO)])
def test_a_disk_that_fails_once_is_a_sentence_and_the_run_goes_on(runs, share, fault):
    assert failing_at(runs, int(share * runs.calls), fault) is None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_a_run_goes_on_after_its_disk_was_really_full(runs, share):
    with small_disk(runs.place / "disk", 80 << 10) as disk:
        out = disk / "run"
        ended = runs.run(out, fails_at=int(share * runs.calls), fault=-1)
        said = (runs.place / "log").read_text()
        # What an older checkpoint gives back may be enough for the rest.
        assert ended.status == 0 or said.startswith("error: No space left on the disk of")
        assert ended.status == 0 or said.count("\n") == 1
        (disk / "ballast").unlink()
        assert runs.damage(out) is None


@pytest.mark.slow
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO])
def test_wherever_a_disk_fails_the_run_goes_on(runs, fault):
    damage = {call: failing_at(runs, call, fault) for call in range(1, runs.calls + 1)}
    assert {call: found for call, found in damage.items() if found} == {}


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
