import pytest

from mimic_ray.base.errors import TrainingError
from mimic_ray.base.progress import Progress
from mimic_ray.distributed.watchdog import END_AFTER_S, WARN_AFTER_S, Watchdog


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shown():
    return []


@pytest.fixture
def watchdog(clock, shown):
    return Watchdog(shown.append, now=clock)


def test_a_short_silence_is_not_reported(watchdog, clock, shown):
    clock.now += WARN_AFTER_S - 1
    watchdog.check()
    watchdog.note(Progress("distil", 7, 100))
    clock.now += WARN_AFTER_S - 1
    watchdog.check()
    assert shown == []


def test_a_longer_silence_is_reported_once_a_second_until_a_message_arrives(watchdog, clock, shown):
    clock.now += WARN_AFTER_S + 1
    watchdog.check()
    watchdog.check()
    assert [progress.done for progress in shown] == [WARN_AFTER_S + 1]
    watchdog.note(Progress("distil", 8, 100))
    assert (shown[-1].phase, shown[-1].done) == ("silent", 0)
    watchdog.note(Progress("distil", 9, 100))
    assert len(shown) == 2


def test_a_silence_beyond_the_limit_ends_the_run_and_names_the_step(watchdog, clock):
    watchdog.note(Progress("distil", 42, 100))
    clock.now += END_AFTER_S + 1
    with pytest.raises(TrainingError, match=r"since step 42.*resume=True"):
        watchdog.check()


def test_on_one_machine_the_network_is_not_suspected(clock, shown):
    watchdog = Watchdog(shown.append, on_cluster=False, now=clock)
    clock.now += WARN_AFTER_S + 1
    watchdog.check()
    assert shown[-1].phase == "busy"
    clock.now += END_AFTER_S
    with pytest.raises(TrainingError, match="they hang, or this machine is too busy"):
        watchdog.check()


def test_the_limits_are_ordered_with_time_between_them():
    """First a warning, then the timeout of the all-reduce, with time to restart the workers."""
    from mimic_ray.distributed import torch_process_group

    assert WARN_AFTER_S < torch_process_group.TIMEOUT_S < END_AFTER_S - 600
