"""The processes, CPUs and GPUs of a run or of a trial, and whether a set of nodes fits them.

A worker is one process and never spans two nodes. This module only calculates;
`distributed/capacity.py` asks Ray for the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mimic_ray.base.argument_types import check_fields
from mimic_ray.base.errors import ResourceError, UsageError, option
from mimic_ray.base.machine_limits import usable_cpus
from mimic_ray.base.machine_memory import machine_memory_bytes
from mimic_ray.base.text import count, plain

STRATEGIES = ("ddp", "fsdp")
TEACHER_PLACEMENTS = ("replicated", "sharded")
# The default of `max_failures` for runs that are expected to lose workers.
_RESTARTS = 3

# The share of a machine's memory that Ray gives to workers; the rest is its object store.
MEMORY_SHARE = 0.7
_UNLIMITED = 1 << 30

# The resources of a node or the needs of a worker, by Ray's names: {"CPU": 8.0, "GPU": 1.0}, and
# "memory" in bytes.
Amounts = Mapping[str, float]


@dataclass(frozen=True)
class Resources:
    """The resources of a run, or of each trial of a search. They do not affect the result.

    Attributes:
        workers: Number of processes, one per device.
        min_workers: Elastic: start and continue with at least this many workers. None requires
            `workers`.
        cpus_per_worker: 0 divides the available CPUs evenly in a run, and means 1 in a search.
        gpus_per_worker: None uses a GPU for each worker if this machine has as many, and on a
            cluster none; in a search it uses one if there are any. Below 1, trials share a GPU.
        address: A Ray cluster. None uses this machine alone: a run of one worker is in this
            process, any other has a private Ray.
        local: Run in this process, or fail if that is not possible.
        ray: Start a private Ray for one worker too.
        strategy: With several workers, `ddp`: a copy of the student on each; `fsdp`: a shard.
        teacher_placement: With fsdp, whether the teacher is `replicated` or `sharded`.
        max_failures: How often lost workers are restarted from the last checkpoint. None means 3
            if the run is elastic or on a cluster, else 0.
        capacity_timeout_s: Seconds to wait until the cluster has enough nodes. With 0 it must have
            them now.
        concurrent_trials: Largest number of trials that run at the same time. 0 runs as many as fit
            the nodes, also those that join later.
        memory_per_worker: Bytes of memory that Ray reserves for a worker. 0 reserves none in a run;
            a search on CPUs then estimates it.

    Example:
        resources = mimic_ray.Resources(workers=4, gpus_per_worker=1, strategy="fsdp")
    """

    workers: int = 1
    min_workers: int | None = None
    cpus_per_worker: int = 0
    gpus_per_worker: float | None = None
    address: str | None = None
    local: bool = False
    ray: bool = False
    strategy: str = "ddp"
    teacher_placement: str = "replicated"
    max_failures: int | None = None
    capacity_timeout_s: float = 0.0
    concurrent_trials: int = 0
    memory_per_worker: int = 0

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def required_workers(self) -> int:
        """The fewest workers that a run starts and continues with."""
        return self.workers if self.min_workers is None else self.min_workers

    @property
    def in_process(self) -> bool:
        """Whether a run needs no Ray: one worker on this machine that nothing restarts."""
        needs_ray = (
            self.ray or self.workers > 1 or self.address is not None or (self.max_failures or 0) > 0
        )
        return self.local or not needs_ray

    @property
    def restarts(self) -> int:
        if self.max_failures is not None:
            return self.max_failures
        return _RESTARTS if self.required_workers < self.workers or self.address else 0

    def each(self) -> dict[str, float]:
        """What Ray reserves for a worker; {} if nothing is set."""
        needs = {
            "CPU": float(self.cpus_per_worker),
            "GPU": float(self.gpus_per_worker or 0),
            "memory": float(self.memory_per_worker),
        }
        return {kind: amount for kind, amount in needs.items() if amount}

    def with_cpus(self, nodes: Sequence[Amounts]) -> Resources:
        """With `cpus_per_worker`, if it is 0, as many as each worker can have, at least 1."""
        if self.cpus_per_worker:
            return self
        most = int(max((node.get("CPU", 0) for node in nodes), default=1))
        for cpus in range(most, 1, -1):
            if worker_slots(nodes, {**self.each(), "CPU": cpus}) >= self.workers:
                return replace(self, cpus_per_worker=cpus)
        return replace(self, cpus_per_worker=1)

    def with_gpus(self, node: Amounts) -> Resources:
        """With `gpus_per_worker` of a run on one machine, if it is None."""
        if self.gpus_per_worker is not None:
            return self
        return replace(self, gpus_per_worker=float(node.get("GPU", 0) >= self.workers))

    def for_trials(self, nodes: Sequence[Amounts], worker_memory: int = 0) -> Resources:
        """With the defaults of a search: one CPU, one GPU if there are any, and on the CPU the
        bytes of memory that a worker is estimated to need."""
        gpus = self.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if total(nodes, "GPU") else 0.0
        found = replace(self, cpus_per_worker=self.cpus_per_worker or 1, gpus_per_worker=gpus)
        if gpus or found.memory_per_worker:
            return found
        # No more than fits: an estimate may be too high, and one trial can have a node alone.
        able = [node for node in nodes if worker_slots([node], found.each())]
        most = int(max((node.get("memory", 0) for node in able), default=0))
        for parts in range(1, self.workers + 1):
            reserved = replace(found, memory_per_worker=min(worker_memory, most // parts))
            if most_trials(nodes, reserved):
                return reserved
        return found


def this_machine() -> Amounts:
    """The CPUs, GPUs and memory of this machine that a private Ray would have."""
    import torch

    found = {"CPU": float(usable_cpus()), "GPU": float(torch.cuda.device_count())}
    memory = MEMORY_SHARE * machine_memory_bytes()
    return {**found, "memory": memory} if memory else found


def worker_slots(nodes: Sequence[Amounts], needs: Amounts) -> int:
    """How many workers fit if each needs `needs`. A node without "memory" has enough of it."""
    needed = {kind: amount for kind, amount in needs.items() if amount}
    if not needed:
        return _UNLIMITED
    unknown = {"memory": needed.get("memory", 0) * _UNLIMITED}
    return sum(
        min(_slots(kind, {**unknown, **node}.get(kind, 0), n) for kind, n in needed.items())
        for node in nodes
    )


def _slots(kind: str, there: float, needed: float) -> int:
    """How often an amount fits. A share of a GPU is of one card."""
    # The small number, because 1 / 0.1 or 0.3 / 0.1 may fall short of the whole number.
    if kind == "GPU" and needed < 1:
        return int(there) * int(1 / needed + 1e-9)
    return int(there / needed + 1e-9)


def total(nodes: Sequence[Amounts], kind: str) -> float:
    return sum(node.get(kind, 0) for node in nodes)


def in_words(amounts: Amounts) -> str:
    """`2 CPU + 1 GPU + 1.5 GB of memory`."""
    return " + ".join(
        f"{amount / 1e9:.1f} GB of memory" if kind == "memory" else f"{amount:g} {kind}"
        for kind, amount in amounts.items()
    )


def capacity_in_words(nodes: Sequence[Amounts], needs: Amounts) -> str:
    """`6 CPU on 2 nodes, which fit 2 workers`."""
    have = in_words({kind: total(nodes, kind) for kind in needs})
    fit = "fits" if len(nodes) == 1 else "fit"
    slots = count(worker_slots(nodes, needs), "worker")
    return f"{have} on {count(len(nodes), 'node')}, which {fit} {slots}"


def check_resources(resources: Resources) -> None:
    """Makes all checks that need neither a cluster nor a recipe.

    Raises UsageError for contradictory settings, ResourceError if the run uses this machine and it
    is too small.
    """
    _check_name("strategy", resources.strategy, STRATEGIES)
    _check_name("teacher_placement", resources.teacher_placement, TEACHER_PLACEMENTS)
    if resources.workers < 1:
        raise UsageError(f"{option('workers', resources.workers)} must be at least 1.")
    if not 1 <= resources.required_workers <= resources.workers:
        raise UsageError(
            f"{option('min_workers', resources.min_workers)} must be between 1 and "
            f"{option('workers', resources.workers)}."
        )
    if resources.local and resources.workers > 1:
        raise UsageError(
            f"{option('local', True)} runs in one process: remove it or {option('workers')}."
        )
    if resources.local and resources.ray:
        raise UsageError(
            f"{option('local', True)} and {option('ray', True)} contradict each other: remove one."
        )
    if resources.strategy == "fsdp" and resources.workers == 1:
        raise UsageError(
            f"{option('strategy', 'fsdp')} needs several workers: set {option('workers', 2)} or "
            "more" + (f" and remove {option('local', True)}." if resources.local else ".")
        )
    if resources.teacher_placement == "sharded" and resources.strategy != "fsdp":
        raise UsageError(
            f"{option('teacher_placement', 'sharded')} needs {option('strategy', 'fsdp')}."
        )
    if resources.address is None:
        _check_this_machine(resources)


def _check_name(setting: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        value = option(setting, f'"{plain(name)}"')
        raise UsageError(f"Invalid {value}: expected {' or '.join(known)}.")


def _check_this_machine(resources: Resources) -> None:
    workers = count(resources.required_workers, "worker")
    cpus = max(1, resources.cpus_per_worker)
    have, need = usable_cpus(), resources.required_workers * cpus
    if need > have:
        raise ResourceError(
            f"{workers} of {count(cpus, 'CPU')} need {need} CPUs, and this machine has {have} for "
            f"this process: lower {option('workers')} or {option('cpus_per_worker')}."
        )
    if resources.gpus_per_worker and not resources.local:
        gpus = this_machine()["GPU"]
        need_gpus = resources.required_workers * resources.gpus_per_worker
        if need_gpus > gpus:
            raise ResourceError(
                f"{workers} of {resources.gpus_per_worker:g} GPU need {need_gpus:g} GPU, and this "
                f"machine has {gpus:g}: remove {option('gpus_per_worker')} to train on the CPU, "
                f"or set {option('address')} to a Ray cluster that has them."
            )


def check_capacity(nodes: Sequence[Amounts], resources: Resources) -> None:
    """Raises ResourceError if the nodes cannot fit the minimum number of workers of a run.

    Passes if the run waits for capacity.
    """
    each = resources.each()
    if resources.capacity_timeout_s or worker_slots(nodes, each) >= resources.required_workers:
        return
    raise ResourceError(
        f"{count(resources.required_workers, 'worker')} of {in_words(each)} each do not fit: the "
        f"cluster has {capacity_in_words(nodes, each)}. {_advice_to_reduce(resources)}"
    )


def trial_slots(
    nodes: Sequence[Amounts], resources: Resources, largest: Sequence[Amounts] | None = None
) -> int:
    """How many trials run at the same time on these nodes.

    `largest` has the nodes that the cluster may grow to, None if they are not declared. Raises
    ResourceError, with the numbers, if no trial fits, or fewer than requested on the largest
    cluster; if that is unknown and the search waits for capacity, any number may be requested.
    """
    each, requested = resources.each(), resources.concurrent_trials
    fits = most_trials(nodes, resources)
    trial = f"a trial is {count(resources.workers, 'worker')} of {in_words(each)}"
    if fits < 1:
        have = f"the cluster has {capacity_in_words(nodes, each)}"
        raise ResourceError(f"No trial fits: {trial}, and {have}. {_advice_to_reduce(resources)}")
    most, have = fits, f"the cluster has {capacity_in_words(nodes, each)}"
    if largest is not None and (larger := most_trials(largest, resources)) > fits:
        most, have = larger, f"the cluster grows to {capacity_in_words(largest, each)}"
    elif largest is None and resources.capacity_timeout_s:
        most = max(fits, requested)
    if requested > most:
        raise ResourceError(
            f"{option('concurrent_trials', requested)} does not fit: {trial}, so it needs "
            f"{requested * resources.workers} workers, and {have}. Use at most "
            f"{option('concurrent_trials', most)}."
        )
    return min(requested, fits) if requested else fits


def most_trials(nodes: Sequence[Amounts], resources: Resources) -> int:
    """How many trials the nodes fit, whatever is requested."""
    return worker_slots(nodes, resources.each()) // resources.workers


def _advice_to_reduce(resources: Resources) -> str:
    settings = ["workers", *(["gpus_per_worker"] if resources.gpus_per_worker else [])]
    advice = f"Lower {', '.join(map(option, settings))} or {option('cpus_per_worker')}"
    if resources.address is None:
        return f"{advice}."
    return f"{advice}, or wait for nodes with {option('capacity_timeout_s', 'SECONDS')}."
