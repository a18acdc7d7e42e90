"""Retries of requests of a run to object storage that does not answer, with exponential back-off.

The S3 client itself tries each request three times: see base/storage_address.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mimic_ray.base.errors import StorageAwayError, option

TIMEOUT_S = 120.0
_SHORT_TIMEOUT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
_T = TypeVar("_T")


class Retry:
    """`retry(action)` returns `action()` and repeats it for up to `TIMEOUT_S`.

    After one action has failed for that long, every further one is tried once.
    Raises StorageAwayError.
    """

    def __init__(self) -> None:
        self._timeout_s = TIMEOUT_S

    def shorten(self) -> None:
        """For work that must not delay the command, such as recording why a run failed."""
        self._timeout_s = min(self._timeout_s, _SHORT_TIMEOUT_S)

    def __call__(self, action: Callable[[], _T]) -> _T:
        pause, begun = _FIRST_PAUSE_S, time.monotonic()
        while True:
            try:
                return action()
            except StorageAwayError as error:
                waited = time.monotonic() - begun
                if waited + pause > self._timeout_s:
                    self._timeout_s = 0.0
                    raise StorageAwayError(
                        f"{error.template} Gave up after {waited:.0f} s. Checkpoints written "
                        "before are intact: continue with the same command and "
                        f"{option('resume', True)}."
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
