"""What a trial of a search takes of a cluster, how many run at once, and waiting for room."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mimic_ray.base.errors import ResourceError, StoppedError
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.text import count
from mimic_ray.distributed.capacity import Amounts, in_words, places, total

_POLL_S = 0.5


@dataclass(frozen=True)
class Resources:
    """Of one trial. `gpus_per_worker` None is one where there are any, else none; below 1, trials
    share a GPU. `concurrent` 0 is as many trials as fit. `room_s`: how long to wait for a cluster
    to grow."""

    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float | None = None
    concurrent: int = 0
    address: str | None = None
    room_s: float = 0.0

    def each(self) -> dict[str, float]:
        """What Ray sets aside for a worker."""
        wanted = {"CPU": float(self.cpus_per_worker), "GPU": float(self.gpus_per_worker or 0)}
        return {kind: amount for kind, amount in wanted.items() if amount}


def here() -> Amounts:
    """What this machine has."""
    import torch

    return {"CPU": float(os.cpu_count() or 1), "GPU": float(torch.cuda.device_count())}


def check_here(resources: Resources) -> None:
    """Raises ResourceError if this machine is too small; before Ray starts, which takes seconds."""
    nodes = [here()]
    concurrency(nodes, with_gpus(resources, nodes))


def with_gpus(resources: Resources, nodes: Sequence[Amounts]) -> Resources:
    """A GPU a worker where there are any, unless it was said."""
    if resources.gpus_per_worker is not None:
        return resources
    return replace(resources, gpus_per_worker=1.0 if total(nodes, "GPU") else 0.0)


def concurrency(nodes: Sequence[Amounts], resources: Resources) -> int:
    """How many trials run at once. Raises ResourceError with the arithmetic when it cannot be.

    Where a cluster may grow, as many as are asked for: those without room wait for it.
    """
    workers, wanted, each = resources.workers, resources.concurrent, resources.each()
    room = places(nodes, each)
    most = room // workers
    trial = f"a trial is {count(workers, 'worker')} of {in_words(each)}"
    have = in_words({kind: total(nodes, kind) for kind in each})
    there = f"{have} on {count(len(nodes), 'node')}, room for {count(room, 'worker')}"
    if most < 1:
        options = "--cpus-per-worker" + (" or --gpus-per-worker" if "GPU" in each else "")
        raise ResourceError(
            f"No trial fits: {trial}, and the cluster has {there}: lower --workers or {options}"
            + (", or --wait-for-room S for nodes to come." if resources.address else ".")
        )
    if wanted > most and not resources.room_s:
        raise ResourceError(
            f"--concurrent {wanted} does not fit: {trial}, so it takes {wanted * workers}, and the "
            f"cluster has {there}: at most --concurrent {most}."
        )
    return wanted or most


def wait_for_room(
    resources: Resources, on_progress: ProgressCallback, stop: Callable[[], int]
) -> None:
    """Returns once the connected cluster has room for a trial, or at once without `room_s`.

    A placement group asks an autoscaler for nodes. Raises ResourceError when none came in time,
    StoppedError when the user would not wait.
    """
    if not resources.room_s:
        return
    from ray.util.placement_group import placement_group, remove_placement_group

    began = time.monotonic()
    group = placement_group([resources.each()] * resources.workers)
    try:
        while not group.wait(_POLL_S):
            waited = time.monotonic() - began
            if stop():
                raise StoppedError("Stopped while the cluster had no room yet; nothing was begun.")
            if waited > resources.room_s:
                trial = f"{count(resources.workers, 'worker')} of {in_words(resources.each())}"
                raise ResourceError(
                    f"In {waited:.0f} s the cluster made no room for a trial of {trial}: see "
                    "`ray status`, ask for less, or wait longer with --wait-for-room."
                )
            on_progress(Progress("room", int(waited), int(resources.room_s)))
    finally:
        remove_placement_group(group)
