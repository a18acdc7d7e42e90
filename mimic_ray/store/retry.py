"""A storage that is away for a while is asked again; one that stays away is given up, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mimic_ray.base.errors import StorageAwayError

PATIENCE_S = 120.0
_HURRY_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
_T = TypeVar("_T")


class Patience:
    """`patience(action)` is `action()`, tried again and again while the storage is away.

    For two minutes, and once for all: after that, each action has one more try. Raises
    StorageAwayError.
    """

    def __init__(self) -> None:
        self._seconds = PATIENCE_S

    def hurry(self) -> None:
        """Nobody waits for what comes now, such as a note on why a run failed."""
        self._seconds = min(self._seconds, _HURRY_S)

    def __call__(self, action: Callable[[], _T]) -> _T:
        pause, begun = _FIRST_PAUSE_S, time.monotonic()
        while True:
            try:
                return action()
            except StorageAwayError as error:
                waited = time.monotonic() - begun
                if waited + pause > self._seconds:
                    self._seconds = 0.0
                    raise StorageAwayError(
                        f"{error.template} It was tried for {waited:.0f} s. What was committed "
                        "before is whole: go on with the same command and --resume."
                    ) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
