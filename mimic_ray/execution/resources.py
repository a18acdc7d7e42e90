"""Where the loop of a run goes: this process, workers on this machine, workers on a cluster."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mimic_ray.base.errors import ResourceError, UsageError
from mimic_ray.base.text import count as counted
from mimic_ray.base.text import plain

if TYPE_CHECKING:
    from mimic_ray.method.recipe import Recipe

STRATEGIES = ("ddp", "fsdp")
TEACHERS = ("replicated", "sharded")
# Restarts of a run that may shrink or has nodes to lose, where nobody said how many.
_RESTARTS = 3


@dataclass(frozen=True)
class Workers:
    """`address` None is a private Ray on this machine. What is computed hangs on none of this."""

    count: int = 1
    local: bool = False  # in this process, without Ray
    cpus_each: int = 0  # 0: the CPUs of this machine, or of the cluster's nodes, shared out evenly
    gpus_each: int = 0
    address: str | None = None
    # Elastic: start, and go on, with as few as this. None: exactly `count`.
    least: int | None = None
    # ddp: a copy of the student on each worker; fsdp: a part.
    strategy: str = "ddp"
    # With fsdp: the teacher as a copy on each worker, or in parts as well.
    teacher: str = "replicated"
    # How often dead workers are replaced and the run goes on from its last committed step.
    max_failures: int | None = None
    # How long a cluster may take to bring the nodes, in seconds; 0: it must have them now.
    room_s: float = 0.0

    def cpus(self) -> int:
        """CPUs of each worker."""
        return self.cpus_each or max(1, (os.cpu_count() or 1) // self.count)

    @property
    def fewest(self) -> int:
        return self.count if self.least is None else self.least

    @property
    def restarts(self) -> int:
        if self.max_failures is not None:
            return self.max_failures
        return _RESTARTS if self.fewest < self.count or self.address else 0


def parse_workers(text: str) -> tuple[int, int]:
    """`4` or `1-3` as the fewest and the most workers. Raises UsageError for anything else."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    least = int(found[1]) if found else 0
    most = int(found[2]) if found and found[2] else least
    if not 1 <= least <= most:
        raise UsageError(
            f'--workers "{plain(text)}" is no valid integer from 1 on, and no range such as 1-3.'
        )
    return least, most


def check(workers: Workers, recipe: Recipe) -> None:
    """What can be seen before any work. Raises UsageError or ResourceError."""
    # Brings torch, and `submit` reads --workers without it.
    from mimic_ray.method.recipe import check_workers

    _check_name("--strategy", workers.strategy, STRATEGIES)
    _check_name("--teacher-placement", workers.teacher, TEACHERS)
    if not 1 <= workers.fewest <= workers.count:
        raise UsageError(f"--workers {workers.count}: at least one worker must do the work.")
    if workers.local and workers.count > 1:
        raise UsageError("--local is one process: leave out --workers, or leave out --local.")
    if workers.strategy == "fsdp" and workers.count == 1:
        raise UsageError(
            "--strategy fsdp shares a student out among workers, and here is one: set --workers 2 "
            "or more" + (" without --local." if workers.local else ".")
        )
    if workers.teacher == "sharded" and workers.strategy != "fsdp":
        raise UsageError("--teacher-placement sharded needs --strategy fsdp.")
    for world in {workers.fewest, workers.count}:
        check_workers(recipe, world)
    if workers.address is None:
        _check_machine(workers)


def _check_name(option: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UsageError(f'{option} "{plain(given)}" is not one of {", ".join(known)}.')


def _check_machine(workers: Workers) -> None:
    have, need = os.cpu_count() or 1, workers.fewest * workers.cpus()
    if need > have:
        raise ResourceError(
            f"{counted(workers.fewest, 'worker')} of {counted(workers.cpus(), 'CPU')} need {need} "
            f"CPUs, and this machine has {have}: lower --workers."
        )
    if workers.gpus_each and not workers.local:
        import torch

        gpus, wanted = torch.cuda.device_count(), workers.fewest * workers.gpus_each
        if wanted > gpus:
            raise ResourceError(
                f"{counted(workers.fewest, 'worker')} of {counted(workers.gpus_each, 'GPU')} need "
                f"{counted(wanted, 'GPU')}, and this machine has {gpus or 'none'}: leave out "
                "--gpus-per-worker to train on the CPU, or give the --address of a Ray cluster "
                "that has them."
            )
