from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from mimic_ray.data.prefetch import prefetch


class Work:
    """Doubles numbers, and records which ones it was called with."""

    def __init__(self, seconds: float = 0.0, fails_at: int | None = None) -> None:
        self.items: list[int] = []
        self._seconds, self._fails_at = seconds, fails_at

    def __call__(self, item: int) -> int:
        self.items.append(item)
        time.sleep(self._seconds)
        if item == self._fails_at:
            raise RuntimeError(f"item {item}")
        return 2 * item


def wait_for(condition) -> None:
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    assert condition()


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("ahead", [0, 1, 3, 50])
def test_results_come_in_order(ahead, threads):
    results = prefetch(Work(), range(20), ahead=ahead, threads=threads)
    assert list(results) == list(range(0, 40, 2))


def test_the_next_results_are_computed_ahead_and_no_more():
    work = Work()
    with closing(prefetch(work, range(9), ahead=2)) as results:
        assert work.items == []
        next(results)
        wait_for(lambda: work.items == [0, 1, 2])
        time.sleep(0.02)
        assert work.items == [0, 1, 2]
        next(results)
        wait_for(lambda: work.items == [0, 1, 2, 3])


def test_the_work_and_its_consumer_run_at_the_same_time():
    begun, consumed = threading.Event(), threading.Event()

    def work(item: int) -> bool:
        """The second result only arrives while the consumer processes the first one."""
        if item == 0:
            return True
        begun.set()
        return consumed.wait(10)

    with closing(prefetch(work, range(2), ahead=1)) as results:
        assert next(results)
        assert begun.wait(10)
        consumed.set()
        assert next(results)


def test_an_error_is_raised_when_its_result_is_due():
    results = prefetch(Work(fails_at=2), range(9), ahead=3)
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(RuntimeError, match="item 2"):
        next(results)


@pytest.mark.parametrize("moment", ["unused", "working", "failed", "finished"])
def test_no_thread_remains_after_closing(moment):
    before = threading.active_count()
    results = prefetch(Work(0.02 if moment == "working" else 0, fails_at=3), range(4), ahead=2)
    if moment != "unused":
        next(results)
    if moment == "failed":
        with pytest.raises(RuntimeError):
            list(results)
    results.close()
    assert threading.active_count() == before


def test_no_thread_remains_when_the_consumer_fails():
    before = threading.active_count()
    with pytest.raises(TypeError), closing(prefetch(Work(), range(9), ahead=2)) as results:
        len(next(results))
    assert threading.active_count() == before
