"""Positions that are spread over a set, since the first ones of a sorted set are of one class."""

from __future__ import annotations


def evenly_spaced(number: int, total: int) -> list[int]:
    """`number` positions of 0 to `total` - 1, or all if there are fewer, in order."""
    number = min(number, total)
    return [position * total // number for position in range(number)]
