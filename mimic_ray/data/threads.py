"""Work on many images by a few threads, with the results in order and few of them waiting."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def usable_cpus() -> int:
    """Those that this process may run on, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    work: Callable[[range], Result], total: int, chunk: int, threads: int
) -> Iterator[tuple[range, Result]]:
    """(rows, work(rows)) for successive ranges of at most `chunk` out of range(total)."""
    ranges = (range(start, min(start + chunk, total)) for start in range(0, total, chunk))
    if threads <= 1:
        for rows in ranges:
            yield rows, work(rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[range, Future[Result]]] = deque()
        try:
            for rows in ranges:
                waiting.append((rows, pool.submit(work, rows)))
                # Twice as many as run: no thread idles, and memory stays bounded.
                if len(waiting) >= 2 * threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
