from __future__ import annotations

import threading

import pytest

from mimic_ray.data.threads import map_in_order


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("total", [0, 1, 7, 100])
def test_results_come_in_order_and_cover_everything(total, threads):
    rows = [row for _, part in map_in_order(list, total, chunk=7, threads=threads) for row in part]
    assert rows == list(range(total))


def test_at_most_twice_as_many_results_wait_as_there_are_threads():
    started = []

    def work(rows: range) -> int:
        started.append(rows.start)
        return rows.start

    for taken, _ in enumerate(map_in_order(work, 100, chunk=1, threads=2)):
        assert len(started) <= taken + 4


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_reaches_the_caller_and_no_thread_remains(threads):
    def work(rows: range) -> None:
        if rows.start == 5:
            raise ValueError("row 5")

    before = threading.active_count()
    with pytest.raises(ValueError, match="row 5"):
        list(map_in_order(work, 50, chunk=1, threads=threads))
    assert threading.active_count() == before
