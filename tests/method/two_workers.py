"""A few small distillations in one process or as one of two; what each worker saw and ended with.

In a module of its own: started processes import it, and need not import a test for it.
"""

from __future__ import annotations

import copy
import socket
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from small import Images, make
from torch import nn

from mimic_ray.base.devices import Compute
from mimic_ray.method.loop import Distillation
from mimic_ray.method.ranks import Ranks
from mimic_ray.method.recipe import parse_recipe

BATCH, STEPS, COUNT = 8, 8, 44
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "every term": {"loss": {"attention": 1.0, "contrastive": 0.5}},
}


class SeenImages(Images):
    """Remembers which images each call asked for; the first call is for the donors."""

    def __init__(self) -> None:
        super().__init__(COUNT)
        self.asked: list[list[int]] = []

    def gather(self, indices):
        self.asked.append(indices.tolist())
        return super().gather(indices)


def start(case: str, ranks: Ranks) -> Distillation:
    """A distillation whose batch norms are frozen, so that halves of a batch come out alike."""
    teacher = make(1)


    sections = {"training": {"steps": STEPS, "batch": BATCH}, **CASES[case]}
    distillation = Distillation(
        student=copy.deepcopy(teacher),
        teacher=teacher,
        images=SeenImages(),
        recipe=parse_recipe(sections),
        tap_weights={"stem": 0.4, "stage": 0.6},
        compute=Compute("cpu", "fp32", 1),
        ranks=ranks,
    )
    for module in distillation.student.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
    return distillation


def ending(distillation: Distillation) -> dict[str, Any]:
    rows = list(distillation.run())
    return {
        "rows": rows,
        "asked": distillation.images.asked[1:],
        "student": distillation.student.state_dict(),
        "canvases": [slot.canvas for slot in distillation.adversary.slots],
    }


def half_way(case: str) -> dict[str, Any]:
    """The state of one process after half of its steps."""
    distillation = start(case, Ranks())
    steps = distillation.run()
    for _ in range(STEPS // 2):
        next(steps)
    return copy.deepcopy(distillation.state())


def resumed(case: str, ranks: Ranks) -> dict[str, Any]:
    distillation = start(case, ranks)
    distillation.load(half_way(case))
    return ending(distillation)


def endings(ranks: Ranks) -> dict[str, dict[str, Any]]:
    torch.set_num_threads(1)
    found = {case: ending(start(case, ranks)) for case in CASES}
    return {**found, "resumed": resumed("every term", ranks)}


def work(rank: int, port: int, folder: str) -> None:
    """One of two workers: leaves its endings in a file."""
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(endings(Ranks(rank, 2, rank)), Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
