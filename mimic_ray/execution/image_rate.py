"""Images per second over all workers, smoothed."""

from __future__ import annotations

import time


class ImageRate:
    """`batch` is the global batch."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._last = time.monotonic()
        self._step_s = 0.0

    def step_done(self) -> float:
        """Images per second over about 20 steps: one slow step must not change the time left."""
        now = time.monotonic()
        step_s, self._last = now - self._last, now
        self._step_s = step_s if self._step_s == 0 else 0.95 * self._step_s + 0.05 * step_s
        return self._batch / max(self._step_s, 1e-9)
