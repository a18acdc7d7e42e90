import pytest

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.progress import Progress
from mimic_ray.distributed.watchdog import END_AFTER_S, WARN_AFTER_S, Silence


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def silence(clock, told):
    return Silence(told.append, now=clock)


def test_a_short_silence_is_not_mentioned(silence, clock, told):
    clock.now += WARN_AFTER_S - 1
    silence.check()
    silence.heard(Progress("distil", 7, 100))
    clock.now += WARN_AFTER_S - 1
    silence.check()
    assert told == []


def test_a_longer_one_is_told_once_a_second_and_ends_with_news(silence, clock, told):
    clock.now += WARN_AFTER_S + 1
    silence.check()
    silence.check()
    assert [news.done for news in told] == [WARN_AFTER_S + 1]
    silence.heard(Progress("distil", 8, 100))
    assert (told[-1].phase, told[-1].done) == ("silent", 0)


def test_a_silence_beyond_the_limit_ends_the_run_and_names_the_step(silence, clock):
    silence.heard(Progress("distil", 42, 100))
    clock.now += END_AFTER_S + 1
    with pytest.raises(TrainingError, match=r"since step 42.*--resume"):
        silence.check()


def test_the_limits_are_in_the_order_in_which_they_must_help():
    from mimic_ray.distributed import torch_config

    """A warning first; then the all-reduce's own end, with time left to start workers again."""
    assert WARN_AFTER_S < torch_config.TIMEOUT_S < END_AFTER_S - 600
