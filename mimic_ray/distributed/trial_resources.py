"""What a trial of a search takes of a cluster, how many run at once, and waiting for room."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mimic_ray.base.errors import ResourceError, StoppedError
from mimic_ray.base.text import count
from mimic_ray.runs.progress import Progress

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


def here() -> dict[str, int]:
    """What this machine has."""
    import torch

    return {"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}


def check_here(resources: Resources) -> None:
    """Raises ResourceError if this machine is too small; before Ray starts, which takes seconds."""
    concurrency(here(), with_gpus(resources, here()))


def with_gpus(resources: Resources, have: Mapping[str, float]) -> Resources:
    """A GPU a worker where there are any, unless it was said."""
    if resources.gpus_per_worker is not None:
        return resources
    return replace(resources, gpus_per_worker=1.0 if have.get("GPU") else 0.0)


def concurrency(have: Mapping[str, float], resources: Resources) -> int:
    """How many trials run at once. Raises ResourceError with the arithmetic when it cannot be.

    Where a cluster may grow, as many as are asked for: those without room wait for it.
    """
    workers = resources.workers
    most = []
    for kind, each in (("CPU", resources.cpus_per_worker), ("GPU", resources.gpus_per_worker)):
        if not each:
            continue
        need, there = workers * each, have.get(kind, 0)
        arithmetic = f"{count(workers, 'worker')} x {each:g} {kind} = {need:g} {kind}s a trial"
        if need > there:
            raise ResourceError(
                f"A trial does not fit: {arithmetic}, and the cluster has {there:g}: lower "
                f"--workers or --{kind.lower()}s-per-worker"
                + (", or --wait-for-room S for nodes to come." if resources.address else ".")
            )
        most.append(int(there // need))
        if resources.concurrent * need > there and not resources.room_s:
            raise ResourceError(
                f"--concurrent {resources.concurrent} does not fit: {arithmetic}, times "
                f"{resources.concurrent} is {resources.concurrent * need:g}, and the cluster has "
                f"{there:g}: at most --concurrent {most[-1]}."
            )
    return resources.concurrent or min(most)


def wait_for_room(
    resources: Resources, tell: Callable[[Progress], None], stop: Callable[[], int]
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
                wanted = " + ".join(f"{n:g} {kind}" for kind, n in resources.each().items())
                raise ResourceError(
                    f"In {waited:.0f} s the cluster made no room for a trial of "
                    f"{count(resources.workers, 'worker')} with {wanted} each: see `ray status`, "
                    "ask for less, or wait longer with --wait-for-room."
                )
            tell(Progress("room", int(waited), int(resources.room_s)))
    finally:
        remove_placement_group(group)
