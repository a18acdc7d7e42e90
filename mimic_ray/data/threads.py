"""Processes many images in several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from mimic_ray.data.prefetch import prefetch

Result = TypeVar("Result")


def map_in_order(
    work: Callable[[range], Result], total: int, chunk: int, threads: int
) -> Iterator[tuple[range, Result]]:
    """(rows, work(rows)) for consecutive ranges of at most `chunk` out of range(total)."""

    def with_rows(rows: range) -> tuple[range, Result]:
        return rows, work(rows)

    ranges = (range(start, min(start + chunk, total)) for start in range(0, total, chunk))
    if threads <= 1:
        return map(with_rows, ranges)
    # Enough to keep all threads busy, and few enough to bound memory.
    return prefetch(with_rows, ranges, ahead=2 * threads - 1, threads=threads)
