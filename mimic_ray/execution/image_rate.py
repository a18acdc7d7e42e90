"""Images per second over all workers, and the share of time that they wait for images, smoothed."""

from __future__ import annotations

import time
from collections.abc import Callable

_NEWEST = 0.05  # weight of the latest step: one slow step must not change the time left


class ImageRate:
    """`batch` is the global batch. `data_wait` is a share of the time, in [0, 1]."""

    def __init__(self, batch: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch, self._clock = batch, clock
        self._last = clock()
        self._step_s: float | None = None
        self._wait_s = self._waited_s = 0.0

    @property
    def data_wait(self) -> float:
        return min(1.0, self._wait_s / max(self._step_s or 0.0, 1e-9))

    def step_done(self, waited_s: float = 0.0) -> float:
        """Images per second over about 20 steps; `waited_s` is the time waited in all steps."""
        now = self._clock()
        step_s, self._last = now - self._last, now
        wait_s, self._waited_s = waited_s - self._waited_s, waited_s
        newest = 1.0 if self._step_s is None else _NEWEST
        self._step_s = (1 - newest) * (self._step_s or 0.0) + newest * step_s
        self._wait_s = (1 - newest) * self._wait_s + newest * wait_s
        return self._batch / max(self._step_s, 1e-9)
