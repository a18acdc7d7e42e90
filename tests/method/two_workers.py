"""A few small distillations in one process or as one of two; what each worker saw and ended with.

In a module of its own: started processes import it, and need not import a test for it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe
from tests.method.small import Images, make

STEPS, COUNT = 8, 44
EVERYTHING = {"attention": 1.0, "contrastive": 0.5}


class Case(NamedTuple):
    """A recipe's sections, and what is special about how it runs."""

    sections: dict[str, Any]
    frozen: bool = False  # batch norms in eval mode: no batch has statistics of its own
    sharded: bool = False
    teacher: bool = False  # sharded as well
    encoder: str = ""  # one of the registry instead of the small one
    parts_alone: int = 1  # of a batch, where one process does the work


# With these perturbations no gradient that the adversary follows is so near 0 that rounding turns
# its sign.
OFTEN = {
    **{name: {"probability": 0.5} for name in ("patch", "blend", "frequency")},
    **{name: {"probability": 0.3} for name in ("colour", "warp")},
}
RECOMPUTED = {
    "loss": EVERYTHING,
    "training": {"checkpoint_activations": True},
    "perturbations": OFTEN,
}
CASES = {
    "default": Case({}, frozen=True),
    "every term": Case({"loss": EVERYTHING}, frozen=True),
    "batch norm": Case({"loss": EVERYTHING}),
    "uneven shares": Case({"loss": EVERYTHING, "training": {"batch": 7}}),
    # Each part has its own negatives, whether a worker or a moment is what sets it apart.
    "local negatives": Case(
        {"loss": {**EVERYTHING, "contrastive": {"weight": 0.5, "negatives": "local"}}},
        frozen=True,
        parts_alone=2,
    ),
    # With another seed: with that of the others, rounding turns the sign of a gradient that is
    # almost 0, which the adversary follows.
    "recomputed": Case(
        {**RECOMPUTED, "training": {"checkpoint_activations": True, "seed": 1}},
        encoder="tiny_resnet",
    ),
    "accumulated": Case(
        {"loss": {"attention": 1.0}, "training": {"accumulate": 2, "batch": 10}}, frozen=True
    ),
    "sharded": Case({"loss": EVERYTHING}, sharded=True),
    "sharded by unit, recomputed": Case(
        RECOMPUTED,
        sharded=True,
        teacher=True,
        encoder="tiny_resnet",
    ),
    "sharded, accumulated": Case(
        {"loss": {"attention": 1.0}, "training": {"accumulate": 2, "batch": 10}},
        frozen=True,
        sharded=True,
        teacher=True,
    ),
}
RESUMED = ("batch norm", "sharded")


class SeenImages(Images):
    """Remembers which images each call asked for; the first call is for the donors."""

    def __init__(self, side: int) -> None:
        super().__init__(COUNT, side=side)
        self.asked: list[list[int]] = []

    def gather(self, indices):
        self.asked.append(indices.tolist())
        return super().gather(indices)


def start(name: str, group: ProcessGroup) -> Distillation:
    """The distillation of a case, as one process or as one of two."""
    case = CASES[name]
    if case.encoder:
        torch.manual_seed(1)
        teacher = encoder_registry.build(case.encoder)
    else:
        teacher = make(1)
    strategy = None
    if case.sharded and group.world_size > 1:
        from mimic_ray.method.sharding import Sharded

        strategy = Sharded(torch.device("cpu"), teacher=case.teacher)
    sections = {**case.sections, "training": {"steps": STEPS, **case.sections.get("training", {})}}
    sections["training"].setdefault("batch", 8)
    if group.world_size == 1 and case.parts_alone > 1:
        sections["training"]["accumulate"] = case.parts_alone
    distillation = Distillation(
        student=copy.deepcopy(teacher),
        teacher=teacher,
        images=SeenImages(teacher.spec.input_size),
        recipe=parse_recipe(sections),
        tap_weights=dict(zip(teacher.spec.taps, (0.4, 0.6), strict=False)),
        compute=Compute("cpu", "fp32", 1),
        group=group,
        strategy=strategy,
    )
    for module in distillation.student.modules():
        if case.frozen and isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
    return distillation


def held(module: nn.Module) -> int:
    """How many numbers of its parameters this process keeps."""
    from torch.distributed.tensor import DTensor

    return sum(
        p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in module.parameters()
    )


def ending(distillation: Distillation) -> dict[str, Any]:
    rows = list(distillation.run())
    return {
        "rows": rows,
        "asked": distillation.images.asked[1:],
        "student": distillation.state()["student"],
        "canvases": [slot.canvas for slot in distillation.adversary.slots],
        "parameters": held(distillation.student),
        "teacher's": held(distillation.teacher),
    }


def half_way(name: str, group: ProcessGroup) -> dict[str, Any]:
    """The state of a case after half of its steps."""
    distillation = start(name, group)
    steps = distillation.run()
    for _ in range(STEPS // 2):
        next(steps)
    return copy.deepcopy(distillation.state())


def resumed(name: str, group: ProcessGroup, state: dict[str, Any]) -> dict[str, Any]:
    distillation = start(name, group)
    distillation.load(state)
    return ending(distillation)


def endings(group: ProcessGroup) -> dict[str, dict[str, Any]]:
    torch.set_num_threads(1)
    return {case: ending(start(case, group)) for case in CASES}


def work(rank: int, folder: str) -> None:
    """One of two workers: leaves its endings in a file."""
    dist.init_process_group("gloo", f"file://{folder}/group", rank=rank, world_size=2)
    group = ProcessGroup(rank, 2, rank)
    found = endings(group)
    # The half-way state of one process goes on as two, and that of two as one, there.
    for case in RESUMED:
        found[f"{case}, resumed"] = resumed(case, group, half_way(case, ProcessGroup()))
        found[f"{case}, half way"] = half_way(case, group)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
