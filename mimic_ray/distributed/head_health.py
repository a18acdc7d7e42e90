"""Checks that the head of the cluster still answers.

Without the head, Ray kills every process after 60 s, including the driver, without a message.
Therefore the driver checks the head itself and ends the run earlier, with an explanation.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from mimic_ray.base.errors import RESUME_ADVICE, TrainingError

# Where there is nothing to continue yet.
AGAIN_ADVICE = "Once that is fixed, run the same command again."

# Shorter outages are harmless, because training steps do not need the head.
LOST_AFTER_S = 30.0
_EVERY_S = 5.0
_CONNECT_S = 2.0


class HeadHealth:
    """`address` is host:port of Ray's global control service (GCS), which runs on the head.

    `advice` ends the error.
    """

    def __init__(
        self,
        address: str,
        advice: str = RESUME_ADVICE,
        *,
        now: Callable[[], float] = time.monotonic,
        answers: Callable[[str], bool] | None = None,
    ) -> None:
        self._address, self._advice, self._now = address, advice, now
        self._answers = answers or _accepts
        self._checked = self._answered = now()

    def check(self) -> None:
        """Raises TrainingError if the head has not answered for too long.

        Connects every 5 s, which takes up to 2 s; the other calls only read the clock.
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
                f"its machine, its Ray or the network is down. {self._advice}"
            )


def cluster_head(address: str | None, advice: str = RESUME_ADVICE) -> HeadHealth | None:
    """The head of the connected cluster; None for a private Ray, which ends with this process."""
    import ray

    if address is None:
        return None
    return HeadHealth(ray.get_runtime_context().gcs_address, advice)


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return True
    except OSError:
        return False
