"""The nodes of the connected Ray cluster, and waiting until they fit a trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mimic_ray.base.errors import ResourceError, StoppedError, option
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.resources import Amounts, Resources, in_words
from mimic_ray.base.text import count
from mimic_ray.distributed import ray_private_node
from mimic_ray.distributed.background_calls import BackgroundCalls
from mimic_ray.distributed.head_health import AGAIN_ADVICE, cluster_head

_POLL_S = 0.5
_REMOVE_S = 5.0


def cluster_nodes() -> list[Amounts]:
    """The resources of each running node."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def largest_cluster() -> Sequence[Amounts] | None:
    """The nodes that the cluster's autoscaler may grow to, as declared; None if that is unknown."""
    import ray

    return ray_private_node.declared_nodes(ray.get_runtime_context().gcs_address)


def wait_for_capacity(
    resources: Resources, on_progress: ProgressCallback, should_stop: Callable[[], int]
) -> None:
    """Waits until the cluster fits a trial. Returns immediately without `capacity_timeout_s`.

    A placement group makes an autoscaler add nodes. Raises ResourceError after the timeout,
    StoppedError if the user stops the command first, and TrainingError if the head is lost.
    """
    if not resources.capacity_timeout_s:
        return
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    head = cluster_head(resources.address, AGAIN_ADVICE)
    start = time.monotonic()
    group = placement_group([resources.each()] * resources.workers)
    # Not `group.wait`, which asks the head and does not return while it is away.
    ready = group.ready()
    try:
        while not ray.wait([ready], timeout=_POLL_S)[0]:
            if head:
                head.check()
            waited = time.monotonic() - start
            if should_stop():
                raise StoppedError("Stopped while waiting for the cluster; no trial had started.")
            if waited > resources.capacity_timeout_s:
                trial = f"{count(resources.workers, 'worker')} of {in_words(resources.each())}"
                raise ResourceError(
                    f"The cluster could not fit a trial of {trial} within {waited:.0f} s: see "
                    "`ray status`, request less, or wait longer with "
                    f"{option('capacity_timeout_s')}."
                )
            on_progress(Progress("capacity", int(waited), int(resources.capacity_timeout_s)))
    finally:
        BackgroundCalls(lambda: remove_placement_group(group), 0, time.monotonic).last(_REMOVE_S)
