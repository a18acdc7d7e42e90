"""Turns Ctrl-C and SIGTERM into a flag that long work polls, instead of an exception anywhere."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequests:
    """Counts stop requests and keeps the number of the last signal."""

    def __init__(self) -> None:
        self.count = 0
        self.signal_number = int(signal.SIGINT)

    def note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.count += 1
        self.signal_number = number
        if self.count > 2:  # a third request stops at once
            raise KeyboardInterrupt


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Counts signals inside the block and restores the previous handlers after it.

    Outside the main thread (in a notebook or a server) no handler is set.
    """
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    # nohup has SIGHUP ignored, so that the end of a login does not stop the command.
    below_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    counted = [n for n in _SIGNALS if not (below_nohup and n == signal.SIGHUP)]
    before = {number: signal.signal(number, requests.note) for number in counted}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
