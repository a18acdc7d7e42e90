import time

import pytest

from mimic_ray.search.search_progress import SearchProgress
from mimic_ray.search.trial import RunningTrial, Trial


def trials(count):
    return [Trial(f"{number:012x}", number, "finished", {}) for number in range(count)]


def running(step):
    return {"a": RunningTrial("a", 9, {}, step, 100, time.time())}


def after(seconds, **fields):
    return SearchProgress(started=time.monotonic() - seconds, **fields)


def test_the_time_left_is_unknown_until_a_trial_of_this_command_has_ended():
    progress = after(60, planned=8, ended=trials(3), ended_before=3, running=running(50))
    assert progress.seconds_left() is None


def test_the_time_left_follows_the_pace_of_this_command():
    """Two trials ended and a half one ran in 50 s: 20 s a trial, and 4.5 trials are left."""
    progress = after(50, planned=8, ended=trials(3), ended_before=1, running=running(50))
    assert progress.seconds_left() == pytest.approx(90, rel=0.01)
    assert progress.remaining == 5


def test_the_time_left_is_never_negative():
    progress = after(50, planned=2, ended=trials(2), running=running(90))
    assert progress.seconds_left() == 0
