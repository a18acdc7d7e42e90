"""Notices that nodes of the cluster are about to be taken away.

Kubernetes sends a spot node's pod a SIGTERM, and Ray then marks the node as draining; a program
that reads a cloud's own notice runs `ray drain-node`. The node works on until its deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

from mimic_ray.distributed import ray_private

_EVERY_S = 2.0


class DrainNotice:
    """Counts the nodes that have begun to drain. The question is asked in a thread: a head that
    does not answer must not hold the driver."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.monotonic,
        draining: Callable[[], set[str]] = ray_private.draining_nodes,
    ) -> None:
        self._now, self._draining = now, draining
        self._known: set[str] = set()
        self._asked_at = now() - _EVERY_S
        self._thread: Thread | None = None

    def count(self) -> int:
        """The nodes that drain or have drained since the start, as far as known now."""
        busy = self._thread is not None and self._thread.is_alive()
        if not busy and self._now() - self._asked_at >= _EVERY_S:
            self._asked_at = self._now()
            self._thread = Thread(target=self._ask, name="drain notice", daemon=True)
            self._thread.start()
        return len(self._known)

    def _ask(self) -> None:
        with suppress(Exception):  # the head is away, or the session has ended
            self._known |= self._draining()
