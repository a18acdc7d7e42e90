"""Times a few steps of a distillation before it starts, to tell what the run will cost.

The networks, images and random numbers are the probe's own, so a run gives the same bits with and
without it. The steps are real ones (views, perturbations, adversary, both networks) on synthetic
images, in batches that grow until two of them tell what a step costs by itself and for each image.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.data.synthetic_images import SyntheticImages
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.execution.setup import cached_side
from mimic_ray.method.loop import Distillation
from mimic_ray.method.losses.weighted_terms import reads_taps
from mimic_ray.method.recipe import Recipe, check_recipe, parse_recipe
from mimic_ray.method.student_start import untrained
from mimic_ray.method.teacher import teacher_forward

# A step that takes this long is timed well enough; until then the batch grows.
_ENOUGH_S, _SMALLEST_BATCH, _GROWTH = 0.1, 2, 4
# Such a step is not repeated only to have it without its first-time costs.
_SLOW_S = 1.0
_LARGEST_FORWARD_BATCH, _MOST_FORWARDS = 128, 8


@dataclass(frozen=True)
class Pace:
    """What one image costs here, in seconds and bytes.

    `step_s` is its share of a training step: views, a forward pass of the teacher, forward and
    backward pass of the student. `forward_s` is a forward pass alone, `forward_fp32_s` the same in
    float32. `activation_bytes` is kept for the backward pass. `state_bytes` does not depend on the
    images: weights of both networks, gradients, and Adam's two moments.
    """

    spec: Spec
    step_s: float
    forward_s: float
    forward_fp32_s: float
    activation_bytes: float
    state_bytes: int
    probe_s: float


def forward_s(encoder: str, compute: Compute) -> float:
    """Seconds per image of a forward pass alone."""
    with torch.random.fork_rng(_devices(compute)):
        network = untrained(encoder, 0).to(compute.torch_device).eval()
        return _forward_s(network, compute)


def probe(encoder: str, recipe: Recipe, compute: Compute) -> Pace:
    """The pace of this recipe for the encoder called `encoder`. Takes 1 s for a ResNet-20."""
    start = time.monotonic()
    with torch.random.fork_rng(_devices(compute)):
        teacher, student = untrained(encoder, 0), untrained(encoder, 1)
        batch, recipe = _smallest(recipe)
        saved = _SavedTensors(student)
        with saved:
            step_s, _ = _step_s(student, teacher, recipe, batch, compute)
        activation_bytes = saved.total / batch
        # The student is wrapped already.
        recipe = _changed(recipe, checkpoint_activations=False)
        timed = [(batch, step_s)] if step_s >= _SLOW_S else []
        while step_s < _SLOW_S:
            times = [_step_s(student, teacher, recipe, batch, compute) for _ in range(2)]
            step_s, worked_s = map(min, zip(*times, strict=True))
            timed.append((batch, step_s))
            if batch == recipe.training.batch or (worked_s >= _ENOUGH_S and len(timed) > 1):
                break
            batch = min(_GROWTH * batch, recipe.training.batch)
        passed_s = passed_fp32_s = _forward_s(teacher, compute)
        if compute.precision != "fp32":
            passed_fp32_s = _forward_s(teacher, replace(compute, precision="fp32"))
        weights = [*student.parameters(), *student.buffers()]
        return Pace(
            spec=teacher.spec,
            step_s=_for_batch(timed, recipe.training.batch) / recipe.training.batch,
            forward_s=passed_s,
            forward_fp32_s=passed_fp32_s,
            activation_bytes=activation_bytes,
            state_bytes=5 * sum(each.numel() * each.element_size() for each in weights),
            probe_s=time.monotonic() - start,
        )


def _for_batch(timed: Sequence[tuple[int, float]], batch: int) -> float:
    """Seconds of a step of `batch` images, from those of some smaller batches.

    A line through the last two: Adam, and weights that are converted to bf16, take the same time
    for any number of images.
    """
    last, last_s = timed[-1]
    if last == batch:
        return last_s
    if len(timed) == 1:
        return last_s * batch / last
    before, before_s = timed[-2]
    by_image_s = max(last_s - before_s, 0.0) / (last - before)
    return last_s + (batch - last) * by_image_s


def _devices(compute: Compute) -> list[int]:
    """The GPUs whose random numbers the probe would otherwise advance."""
    device = compute.torch_device
    return [device.index or 0] if device.type == "cuda" else []


def _smallest(recipe: Recipe) -> tuple[int, Recipe]:
    """The smallest batch to probe with, and the recipe of one part of a step."""
    training = recipe.training
    part = -(-training.batch // training.accumulate)
    # Compiling takes minutes.
    recipe = _changed(recipe, batch=max(part, 2), accumulate=1, compile=False, steps=1)
    batch = min(_SMALLEST_BATCH, recipe.training.batch)
    while batch < recipe.training.batch:
        try:
            check_recipe(_changed(recipe, batch=batch))
        except UsageError:  # a term of the loss needs more images
            batch = min(_GROWTH * batch, recipe.training.batch)
        else:
            break
    return batch, recipe


def _changed(recipe: Recipe, **training: Any) -> Recipe:
    content = recipe.model_dump(mode="json")
    content["training"].update(training)
    return parse_recipe(content)


def _step_s(
    student: Encoder, teacher: Encoder, recipe: Recipe, batch: int, compute: Compute
) -> tuple[float, float]:
    """Seconds of one step of `batch` images, and those in which it worked.

    On a busy CPU the second is less. There even a step of two images takes long, whose fixed costs
    say nothing about a larger one.
    """
    images = SyntheticImages(batch, cached_side(recipe, teacher.spec.input_size), distinct=16)
    taps = teacher.spec.taps if reads_taps(recipe.loss) else ()
    run = Distillation(
        student, teacher, images, _changed(recipe, batch=batch), dict.fromkeys(taps, 1.0), compute
    )
    steps = run.steps()
    start, worked = _now(compute), time.process_time()
    next(steps)
    taken = _now(compute) - start
    if compute.torch_device.type != "cpu":
        return taken, taken
    return taken, (time.process_time() - worked) / compute.threads


def _forward_s(teacher: Encoder, compute: Compute) -> float:
    """Seconds per image of a forward pass, in a batch that grows until it can be timed well."""
    batch = _SMALLEST_BATCH
    while (taken_s := _pass_s(teacher, batch, compute)) < _ENOUGH_S:
        if batch >= _LARGEST_FORWARD_BATCH:
            break
        batch *= _GROWTH
    return taken_s / batch


def _pass_s(teacher: Encoder, batch: int, compute: Compute) -> float:
    """Seconds of a forward pass of `batch` images, the fastest of some: other work interrupts."""
    side = teacher.spec.input_size
    views = torch.rand(batch, 3, side, side, device=compute.torch_device)
    times = list[float]()
    while len(times) < 2 or (len(times) < _MOST_FORWARDS and sum(times) < _ENOUGH_S):
        start = _now(compute)
        teacher_forward(teacher, views, [], compute)
        times.append(_now(compute) - start)
        if times[-1] > _SLOW_S:
            break
    return min(times)


def _now(compute: Compute) -> float:
    if compute.torch_device.type == "cuda":
        torch.cuda.synchronize(compute.torch_device)
    return time.monotonic()


class _SavedTensors(torch.autograd.graph.saved_tensors_hooks):
    """Adds up the bytes of what is kept for the backward pass inside the block, in `total`."""

    def __init__(self, student: nn.Module) -> None:
        self.total = 0
        # Kept alive, so that no other tensor gets the address of one that was counted.
        self._storages = [each.untyped_storage() for each in student.parameters()]
        self._known = {each.data_ptr() for each in self._storages}
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:  # several operations save the same tensor
            self._known.add(storage.data_ptr())
            self._storages.append(storage)
            self.total += storage.nbytes()
        return tensor
