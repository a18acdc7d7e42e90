"""How many trials of a search may run now, on a cluster whose nodes come and go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mimic_ray.base.resources import Resources, most_trials
from mimic_ray.distributed.background_calls import BackgroundCalls
from mimic_ray.distributed.capacity import cluster_nodes

_POLL_S = 2.0
# How long the end of a search waits for the head.
_CLOSE_S = 5.0


class TrialSlots:
    """`now` trials may run: as many as the nodes fit, at least one, at most `most`.

    With `requests_nodes`, each trial that is wanted and does not fit is requested as a placement
    group, which makes an autoscaler add nodes. Trials that wait in Tune would do so too, but a
    trial has its recipe from its first moment: the search suggests it when a slot is free, with the
    results that it has by then. Requests end with the process of the command.
    """

    def __init__(
        self,
        resources: Resources,
        now: int,
        most: int,
        requests_nodes: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now, self.most = min(now, most), most
        self._resources, self._requests_nodes = resources, requests_nodes
        self._requests: list[Any] = []
        self._running = self._remaining = 0
        self._closing = False
        self._calls = BackgroundCalls(self._look, _POLL_S, clock)

    def poll(self, running: int, remaining: int) -> None:
        """Has the nodes looked at, every 2 s. Of `remaining` trials, `running` have begun."""
        self._running, self._remaining = running, remaining
        self._calls.poll()

    def close(self) -> None:
        """Ends all requests, if the head answers."""
        self._closing = True
        self._calls.last(_CLOSE_S)

    def _look(self) -> None:
        if self._closing:
            self._request(0, grow=False)
            return
        fits = most_trials(cluster_nodes(), self._resources)
        self.now = max(1, min(fits, self.most))
        missing = max(0, min(self.most, self._remaining) - fits) if self._requests_nodes else 0
        self._request(missing, grow=self._running >= self.now)

    def _request(self, missing: int, grow: bool) -> None:
        """Keeps `missing` requests open. New ones only if running trials fill all slots
        (`grow`): they would take the slot of a trial that is about to start."""
        from ray.util.placement_group import placement_group, remove_placement_group

        waiting = [group for group in self._requests if not group.wait(0)]
        ended = [group for group in self._requests if group not in waiting] + waiting[missing:]
        for group in ended:
            remove_placement_group(group)
        self._requests = waiting[:missing]
        if grow and not ended:
            bundles = [self._resources.each()] * self._resources.workers
            new = range(missing - len(self._requests))
            self._requests += [placement_group(bundles) for _ in new]
