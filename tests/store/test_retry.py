from __future__ import annotations

import pytest

from mimic_ray.base.errors import StorageAwayError, StorageError
from mimic_ray.store import retry
from mimic_ray.store.retry import Retry


class Clock:
    """Time passes only in `sleep`."""

    def __init__(self) -> None:
        self.now, self.pauses = 0.0, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(retry, "time", made)
    return made


def failing(times: int):
    """An action that succeeds after so many failures, with the number of its calls."""
    calls = []

    def action() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise StorageAwayError("s3://bucket does not answer.")
        return len(calls)

    return action, calls


def test_pauses_double_up_to_a_limit(clock):
    action, _ = failing(7)
    assert Retry()(action) == 8
    assert clock.pauses == [1, 2, 4, 8, 15, 15, 15]


def test_after_the_timeout_every_action_is_tried_once(clock):
    again = Retry()
    action, _ = failing(1000)
    with pytest.raises(StorageAwayError, match=r"Gave up after \d+ s.*resume=True"):
        again(action)
    assert clock.now <= retry.TIMEOUT_S
    action, calls = failing(1000)
    with pytest.raises(StorageAwayError):
        again(action)
    assert len(calls) == 1


def test_a_shortened_timeout(clock):
    again = Retry()
    again.shorten()
    with pytest.raises(StorageAwayError):
        again(failing(1000)[0])
    assert clock.now <= 10


def test_other_errors_are_not_retried(clock):
    def refused():
        raise StorageError("Access denied.")

    with pytest.raises(StorageError):
        Retry()(refused)
    assert clock.pauses == []
