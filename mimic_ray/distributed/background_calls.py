"""Calls of the cluster's head, again and again in a thread.

A head that does not answer must not block the driver: Ray repeats such a call until it ends the
process, so nothing else could be checked or said meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Thread


class BackgroundCalls:
    """Calls `call` every `every_s` seconds by the clock `now`, one call at a time.

    An error of the call is ignored: the head is away, or the session has ended.
    """

    def __init__(self, call: Callable[[], None], every_s: float, now: Callable[[], float]) -> None:
        self._call, self._every_s, self._now = call, every_s, now
        self._called_at = now() - every_s
        self._thread: Thread | None = None

    def poll(self) -> None:
        """Begins a call if it is time for one and none is being made. Does not wait."""
        if not self._busy() and self._now() - self._called_at >= self._every_s:
            self._begin()

    def join(self, timeout_s: float) -> bool:
        """Waits for the call that is being made; whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self._busy()

    def last(self, timeout_s: float) -> None:
        """Calls once more, and waits at most so long for each of the two calls."""
        if self.join(timeout_s):
            self._begin()
            self.join(timeout_s)

    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _begin(self) -> None:
        self._called_at = self._now()
        self._thread = Thread(target=self._run, name="calls of the head", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(Exception):
            self._call()
