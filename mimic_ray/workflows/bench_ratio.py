"""A speed as a ratio of two ways of doing the same, measured in one process, taking turns.

Seconds depend on the machine and on what else it does; the ratio of one run hardly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch

_LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Ratio:
    """CPU seconds of the plain way and of ours for the same work."""

    name: str
    plain_s: float
    ours_s: float
    wanted: float | None  # the ratio that we promise, None where nothing is promised
    detail: str

    @property
    def ratio(self) -> float:
        return self.plain_s / self.ours_s


def take_turns(
    plain: Callable[[], object], ours: Callable[[], object], seconds: float
) -> tuple[float, float]:
    """Median CPU seconds of one call of each, from about `seconds` of both after a warm-up."""
    taken: tuple[list[float], list[float]] = ([], [])
    end = time.monotonic() + seconds
    rounds = -1  # the first is thrown away
    while rounds < _LEAST_ROUNDS or time.monotonic() < end:
        for work, times in zip((plain, ours), taken, strict=True):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
        rounds += 1
    return median(taken[0][1:]), median(taken[1][1:])


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread inside the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def picture_pixels(count: int, side: int) -> torch.Tensor:
    """uint8 [B, 3, S, S] with about the detail of photographs: noise whose amplitude halves with
    each doubling of the resolution. Decoders and encoders are faster on flat images."""
    made = torch.Generator().manual_seed(0)
    pictures = torch.full((count, 3, side, side), 0.5)
    for octave in range(1, side.bit_length()):
        grid = torch.rand(count, 3, 1 << octave, 1 << octave, generator=made) - 0.5
        grid = torch.nn.functional.interpolate(grid, (side, side), mode="bilinear")
        pictures += grid / 2 ** (octave - 1)
    return (255 * pictures.clamp(0, 1)).to(torch.uint8)
