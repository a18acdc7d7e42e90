"""Checks that the head of the cluster still answers.

Without its head, Ray ends every process after 60 s, the driver too, and without a message. So the
driver checks the head itself and ends the run before that, with an explanation.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from mimic_ray.base.errors import RESUME_ADVICE, TrainingError

# Shorter outages do no harm: steps do not need the head.
LOST_AFTER_S = 30.0
_EVERY_S = 5.0
_CONNECT_S = 2.0


class HeadHealth:
    """`address` is host:port of the cluster's store, which runs on its head."""

    def __init__(
        self,
        address: str,
        *,
        now: Callable[[], float] = time.monotonic,
        answers: Callable[[str], bool] | None = None,
    ) -> None:
        self._address, self._now = address, now
        self._answers = answers or _accepts
        self._checked = self._answered = now()

    def check(self) -> None:
        """Raises TrainingError when the head has not answered for too long.

        Connects every 5 s, which takes up to 2 s; the other calls only read a clock.
        """
        if self._now() - self._checked < _EVERY_S:
            return
        if self._answers(self._address):
            self._answered = self._now()
        self._checked = self._now()
        lost_s = self._checked - self._answered
        if lost_s > LOST_AFTER_S:
            raise TrainingError(
                f"The head of the cluster, {self._address}, has not answered for {lost_s:.0f} s: "
                f"its machine, its Ray or the network is down. {RESUME_ADVICE}"
            )


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return True
    except OSError:
        return False
