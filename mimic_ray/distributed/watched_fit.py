"""Runs the `fit()` of Ray Train or Ray Tune in a thread and watches it from the calling thread.

In the calling thread `fit()` would replace the SIGINT handler permanently, and nothing could be
displayed or checked until it returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

Result = TypeVar("Result")

_POLL_S = 0.1
# The time for workers to write a checkpoint after a stop request, in seconds.
GRACE_S = 60.0


class FitWatcher(Protocol):
    """The object that watches a `fit()`."""

    def poll(self) -> None:
        """Handles messages and checks the run; an error that it raises ends the watch."""

    def stop_requests(self) -> int:
        """The number of stop requests. After one, workers write a checkpoint; after two, do not
        wait."""

    def request_stop(self) -> None:
        """Makes the workers write a checkpoint and return."""


class FitFailedError(Exception):
    """`fit()` raised `error`, which may be a SystemExit."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class StopTimeoutError(Exception):
    """The workers did not end in time after a stop request, or a second request came."""


def watched_fit(fit: Callable[[], Result], watcher: FitWatcher, grace_s: float = GRACE_S) -> Result:
    """Returns the result of `fit()`. Polls the watcher every 0.1 s and once more after the end.

    Raises FitFailedError, StopTimeoutError, and the errors of the watcher; `fit()` then continues
    in its thread until the Ray session ends.
    """
    outcome = _Outcome(fit)
    thread = threading.Thread(target=outcome.run, name="ray-fit", daemon=True)
    thread.start()
    stop_requested_at: float | None = None
    try:
        while True:
            thread.join(_POLL_S)
            ended = not thread.is_alive()
            watcher.poll()
            if ended:
                return outcome.result()
            requests = watcher.stop_requests()
            if requests and stop_requested_at is None:
                stop_requested_at = time.monotonic()
                watcher.request_stop()
            if stop_requested_at is not None:
                waited = time.monotonic() - stop_requested_at
                if requests > 1 or waited > grace_s:
                    raise StopTimeoutError
    except SystemExit:
        # Tune ends the trial of this process. Its workers must release their CPUs and GPUs before
        # the next trial starts.
        watcher.request_stop()
        thread.join(grace_s)
        raise


class _Outcome(Generic[Result]):
    """The result or the error of `fit()`."""

    def __init__(self, fit: Callable[[], Result]) -> None:
        self._fit = fit
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._value = self._fit()
        except BaseException as error:  # a SystemExit, for example when the session ends
            self._error = error

    def result(self) -> Result:
        if self._error is not None:
            raise FitFailedError(self._error) from self._error
        return self._value
