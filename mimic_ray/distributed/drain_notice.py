"""Notices that nodes of the cluster are about to be taken away.

Kubernetes sends a spot node's pod a SIGTERM, and Ray then marks the node as draining; a program
that reads a cloud's own notice runs `ray drain-node`. The node works on until its deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mimic_ray.distributed import ray_private
from mimic_ray.distributed.background_calls import BackgroundCalls

_EVERY_S = 2.0


class DrainNotice:
    """Counts the nodes that have begun to drain."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.monotonic,
        draining: Callable[[], set[str]] = ray_private.draining_nodes,
    ) -> None:
        self._draining = draining
        self._known: set[str] = set()
        self._calls = BackgroundCalls(self._ask, _EVERY_S, now)

    def count(self) -> int:
        """The nodes that drain or have drained since the start, as far as known now."""
        self._calls.poll()
        return len(self._known)

    def _ask(self) -> None:
        self._known |= self._draining()
