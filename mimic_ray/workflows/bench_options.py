"""Time and memory of each option for large encoders: seconds per step and saved activations.

All options run the same steps in one process, interleaved, so that other load does not change their
ratios. Memory counts the tensors that autograd saves for the backward pass, which limit the batch
on a GPU. Weights, gradients and optimizer state are not counted; they are the same for all.
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
from mimic_ray.data.synthetic_images import SyntheticImages
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.blocks import blocks
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import parse_recipe

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
    """The effect of one option: median step, first step (with one-time work), saved bytes."""

    option: str
    step_s: float
    first_step_s: float
    saved_bytes: int
    notes: list[str]


def bench_options(
    encoder: str = "resnet18", batch: int = 8, rounds: int = 5, device: str = "cpu"
) -> list[Effect]:
    """The effect of each single option on synthetic images, after "plain" without options."""
    runs = {option: _start(encoder, batch, rounds, device, OPTIONS[option]) for option in OPTIONS}
    steps = {option: run.steps() for option, run in runs.items()}
    first = {option: _seconds(steps[option], run) for option, run in runs.items()}
    saved = {option: _saved(steps[option], run) for option, run in runs.items()}
    taken: dict[str, list[float]] = {option: [] for option in OPTIONS}
    for _ in range(rounds):
        for option, run in runs.items():
            taken[option].append(_seconds(steps[option], run))
    return [
        Effect(option, median(taken[option]), first[option], saved[option], runs[option].notes)
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
        images=SyntheticImages(4 * batch, teacher.spec.input_size),
        recipe=recipe,
        tap_weights={},
        compute=devices.choose(device, recipe.training.precision),
    )


def _seconds(steps: Iterator[Any], run: Distillation) -> float:
    # On a CPU, process time, because other programs may use it too.
    clock = time.process_time if run.compute.device == "cpu" else time.perf_counter
    start = clock()
    next(steps)
    run.settle()
    return clock() - start


def _saved(steps: Iterator[Any], run: Distillation) -> int:
    """Bytes saved for the backward pass of one part of a step, each storage counted once."""
    found: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in run.student.parameters()}

    def save(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in weights:
            found[memory.data_ptr()] = memory.nbytes()
        return tensor

    def enter(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        save(inputs[0])

    parts: list[int] = []

    def begin(*_: object) -> None:
        parts.append(sum(found.values()))
        found.clear()

    hooks = [run.student.register_forward_pre_hook(begin)]
    if run.recipe.training.checkpoint_activations:
        # A recomputed block stores its input outside autograd.
        hooks += [u.register_forward_pre_hook(enter) for u in blocks(run.student.encoder)]
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        next(steps)
        run.settle()
    for hook in hooks:
        hook.remove()
    return max([*parts, sum(found.values())])
