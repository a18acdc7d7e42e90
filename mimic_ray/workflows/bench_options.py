"""What each option for large encoders costs and saves: seconds a step, memory kept for backward.

All options run the same steps in one process and take turns, so that the ratios of one run hold
whatever else the machine does. Memory is that of the tensors which autograd keeps, which on a GPU
is what decides the batch; weights, gradients and the optimiser's moments come on top, alike for
all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from mimic_ray.base import devices
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.blocks import blocks
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.workflows.bench_ratio import picture_pixels

PARTS = 4

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "training.precision = bf16": {"precision": "bf16"},
    f"training.accumulate = {PARTS}": {"accumulate": PARTS},
    "training.checkpoint_activations": {"checkpoint_activations": True},
    "training.compile": {"compile": True},
}


@dataclass(frozen=True)
class Effect:
    """Of one option: the median step, the first one (with all that is made once), bytes kept."""

    option: str
    step_s: float
    first_step_s: float
    kept_bytes: int
    notes: list[str]


def bench_options(
    encoder: str = "resnet18", batch: int = 8, rounds: int = 5, device: str = "cpu"
) -> list[Effect]:
    """The effect of each option alone, "plain" first, on images of noise."""
    runs = {option: _start(encoder, batch, rounds, device, OPTIONS[option]) for option in OPTIONS}
    steps = {option: run.steps() for option, run in runs.items()}
    first = {option: _seconds(steps[option], run) for option, run in runs.items()}
    kept = {option: _kept(steps[option], run) for option, run in runs.items()}
    taken: dict[str, list[float]] = {option: [] for option in OPTIONS}
    for _ in range(rounds):
        for option, run in runs.items():
            taken[option].append(_seconds(steps[option], run))
    return [
        Effect(option, median(taken[option]), first[option], kept[option], runs[option].notes)
        for option in OPTIONS
    ]


def _start(
    name: str, batch: int, rounds: int, device: str, training: dict[str, Any]
) -> Distillation:
    sections = {"steps": rounds + 2, "batch": batch, "precision": "fp32", **training}
    recipe = parse_recipe({"training": sections})
    torch.manual_seed(0)
    teacher, student = encoder_registry.build(name), encoder_registry.build(name)
    return Distillation(
        student=student,
        teacher=teacher,
        images=_Pictures(4 * batch, teacher.spec.input_size),
        recipe=recipe,
        tap_weights={},
        compute=devices.choose(device, recipe.training.precision),
    )


def _seconds(steps: Iterator[Any], run: Distillation) -> float:
    # The CPU's own seconds where it does the work: others may use it too.
    clock = time.process_time if run.compute.device == "cpu" else time.perf_counter
    start = clock()
    next(steps)
    run.settle()
    return clock() - start


def _kept(steps: Iterator[Any], run: Distillation) -> int:
    """Bytes that one part of a step keeps until its backward pass, each memory counted once."""
    found: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in run.student.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in weights:
            found[memory.data_ptr()] = memory.nbytes()
        return tensor

    def enter(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        keep(inputs[0])

    parts: list[int] = []

    def begin(*_: object) -> None:
        parts.append(sum(found.values()))
        found.clear()

    hooks = [run.student.register_forward_pre_hook(begin)]
    if run.recipe.training.checkpoint_activations:
        # A recomputed unit holds its input without telling autograd.
        hooks += [u.register_forward_pre_hook(enter) for u in blocks(run.student.encoder)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        next(steps)
        run.settle()
    for hook in hooks:
        hook.remove()
    return max([*parts, sum(found.values())])


class _Pictures:
    """Decoded images made up for the measurement."""

    def __init__(self, count: int, side: int) -> None:
        self._pixels = picture_pixels(count, side)

    def __len__(self) -> int:
        return len(self._pixels)

    def gather(self, indices: Tensor) -> Tensor:
        return self._pixels[indices]
