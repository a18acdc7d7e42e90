"""Ctrl-C and SIGTERM as a wish that the work looks at, instead of an exception anywhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequests:
    """How often a stop was asked for, and by which signal last."""

    def __init__(self) -> None:
        self.count = 0
        self.signal_number = int(signal.SIGINT)

    def note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.count += 1
        self.signal_number = number
        if self.count > 2:  # whoever asks a third time means now
            raise KeyboardInterrupt


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Counts signals inside the block; the handlers from before are back after it.

    Outside of the main thread (a notebook's worker, a server) signals are left alone.
    """
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    before = {number: signal.signal(number, requests.note) for number in _SIGNALS}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
