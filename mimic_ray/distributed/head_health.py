"""Whether the head of the cluster still answers.

Without its head, Ray ends every process after 60 s, the driver among them, and says nothing. So the
driver looks by itself and stops before, with a sentence.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from mimic_ray.base.errors import TrainingError

# A shorter outage is none: steps need no head.
LOST_AFTER_S = 30.0
_EVERY_S = 5.0
_CONNECT_S = 2.0


class Head:
    """`address` is host:port of the cluster's store, which is on its head."""

    def __init__(
        self,
        address: str,
        *,
        now: Callable[[], float] = time.monotonic,
        answers: Callable[[str], bool] | None = None,
    ) -> None:
        self._address, self._now = address, now
        self._answers = answers or _accepts
        self._looked = self._answered = now()

    def check(self) -> None:
        """Raises TrainingError when it has not answered for too long; mostly only looks at a clock,
        at worst takes 2 s."""
        if self._now() - self._looked < _EVERY_S:
            return
        if self._answers(self._address):
            self._answered = self._now()
        self._looked = self._now()
        silent_s = self._looked - self._answered
        if silent_s > LOST_AFTER_S:
            raise TrainingError(
                f"The head of the cluster, {self._address}, has not answered for {silent_s:.0f} s: "
                "its machine, its Ray or the network to it is gone. What was committed is whole: "
                "once there is a cluster again, run the same command with --resume."
            )


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return True
    except OSError:
        return False
