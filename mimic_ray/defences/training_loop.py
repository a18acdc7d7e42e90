"""The training loop that defences share: batches, views, learning rate, check for divergence.

Batches and views are those of the distillation (`method/loop.py`): an epoch is a permutation
without its incomplete last batch, and the key of an image in an epoch decides its view. A defence
adds its loss, a function of a `Batch`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import TrainingError
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.views import flip_and_shift, simclr, to_float
from mimic_ray.defences.defence_registry import DefenceInputs, Defended
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.schedule import learning_rate
from mimic_ray.method.student import channels_last_where_it_pays


@dataclass(frozen=True)
class Batch:
    """The images of a step on the device.

    Attributes:
        step: From 0.
        steps: Of the whole training.
        pixels: uint8 [B, 3, P, P].
        keys: int64 [B], one for each image in this epoch; they decide its views.
        side: S, the side of the encoder's input in pixels.
    """

    step: int
    steps: int
    pixels: Tensor
    keys: Tensor
    side: int

    def view(self, number: int = 1) -> Tensor:
        """Flipped and shifted images [B, 3, S, S] in [0, 1]; another view for another number."""
        keys = seeds.keys(self.keys, "view", number)
        return flip_and_shift(to_float(self.pixels), keys, side=self.side)

    def simclr_view(self, number: int = 1) -> Tensor:
        """SimCLR's crops with changed colours, [B, 3, S, S] in [0, 1]."""
        return simclr(self.pixels, seeds.keys(self.keys, "view", number), side=self.side)


def batches(inputs: DefenceInputs, steps: int, batch: int) -> Iterator[Batch]:
    """The batches of so many steps. Raises UsageError for fewer images than one batch."""
    device, side = inputs.compute.torch_device, inputs.suspect.spec.input_size
    plan = EpochPlan(len(inputs.images), batch, inputs.seed)
    for step in range(steps):
        chosen = plan.batch(step)
        keys = seeds.keys(inputs.seed, "step", step // plan.steps_per_epoch, chosen)
        pixels = inputs.images.gather(chosen)
        yield Batch(step, steps, pixels.to(device), keys.to(device), side)


def train(
    inputs: DefenceInputs,
    optimiser: torch.optim.Optimizer,
    loss: Callable[[Batch], Tensor],
    *,
    steps: int,
    batch: int,
    schedule: Literal["one_cycle", "constant"] = "one_cycle",
    warmup: float = 0.1,
    clip_norm: float | None = None,
    after_step: Callable[[], object] = lambda: None,
    enough: Callable[[], bool] = lambda: False,
) -> int:
    """Minimises `loss` and returns the steps taken, fewer than `steps` once `enough` is true.

    The optimiser's own rates are the largest of the schedule; `clip_norm` limits the length of the
    gradient. Raises TrainingError at the first loss that is not finite, before a weight changes by
    it.
    """
    peaks = [group["lr"] for group in optimiser.param_groups]
    # Dropout, if the encoder has any, draws from torch's generator.
    with seeds.torch_seeded(inputs.seed, inputs.compute.torch_device):
        for each in batches(inputs, steps, batch):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = learning_rate(each.step, steps, peak, schedule, warmup)
            value = loss(each)
            if not value.isfinite():
                raise TrainingError(
                    f"The defence diverged: its loss at step {each.step + 1} is {value.item()}. "
                    "Use a lower learning rate."
                )
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            if clip_norm is not None:
                weights = [p for group in optimiser.param_groups for p in group["params"]]
                torch.nn.utils.clip_grad_norm_(weights, clip_norm)
            optimiser.step()
            after_step()
            inputs.on_step(each.step + 1, steps)
            if enough():
                return each.step + 1
    return steps


def train_masks(
    inputs: DefenceInputs,
    masks: Sequence[Tensor],
    loss: Callable[[Batch], Tensor],
    *,
    rate: float,
    steps: int,
    batch: int,
) -> None:
    """Minimises `loss` over masks in [0, 1], by SGD with momentum 0.9 at a constant rate."""
    train(
        inputs,
        torch.optim.SGD(masks, rate, momentum=0.9),
        loss,
        steps=steps,
        batch=batch,
        schedule="constant",
        after_step=lambda: [mask.data.clamp_(0, 1) for mask in masks],
    )


def phases(inputs: DefenceInputs, *steps: int) -> list[DefenceInputs]:
    """The inputs of consecutive trainings of so many steps, each with its own random numbers.

    Together they report their progress as one.
    """

    def of_phase(number: int) -> DefenceInputs:
        before, total = sum(steps[:number]), sum(steps)
        return replace(
            inputs,
            seed=int(seeds.keys(inputs.seed, "phase", number)) if number else inputs.seed,
            on_step=lambda done, _: inputs.on_step(before + done, total),
        )

    return [of_phase(number) for number in range(len(steps))]


def suspect_as_teacher(inputs: DefenceInputs) -> Encoder:
    """A copy of the suspect encoder on the device, frozen, in eval mode."""
    teacher = copy.deepcopy(inputs.suspect).to(inputs.compute.torch_device)
    channels_last_where_it_pays(teacher)
    return teacher.requires_grad_(False).eval()


def suspect_as_student(inputs: DefenceInputs) -> Encoder:
    """A copy of the suspect encoder on the device, to be trained, in train mode."""
    return suspect_as_teacher(inputs).requires_grad_(True).train()


def features(encoder: Encoder, images: Tensor, compute: Compute) -> Tensor:
    """Images [B, 3, S, S] -> features [B, D] in float32, computed in the run's precision."""
    with compute.autocast():
        found: Tensor = encoder(images)
    return found.float()


def unit_features(encoder: Encoder, images: Tensor, compute: Compute) -> Tensor:
    """The same, each of length 1."""
    return F.normalize(features(encoder, images, compute), dim=1)


@torch.no_grad()
def add_weight_noise(encoder: Encoder, seed: int, share: float = 0.01) -> None:
    """Normal noise of `share` of each weight matrix's root mean square, in place.

    A loss that grows with the distance from the suspect encoder has no gradient at distance 0.
    """
    for name, weight in encoder.net.named_parameters():
        if weight.ndim > 1:
            noise = seeds.normal(seeds.keys(seed, "noise", name), weight.numel())
            size = share * weight.square().mean().sqrt()
            weight.add_(noise.view(weight.shape).to(weight.device) * size)


def defended(encoder: Encoder, images_seen: int, *notes: str) -> Defended:
    """The result of a defence. Raises TrainingError for weights that are not finite."""
    encoder = encoder.cpu().to(memory_format=torch.contiguous_format)
    values = [v for v in encoder.net.state_dict().values() if v.is_floating_point()]
    if not all(bool(value.isfinite().all()) for value in values):
        # The last update, or batch-norm statistics that the loss does not see.
        raise TrainingError(
            "The defence diverged: weights of the purified encoder are not finite. Use a lower "
            "learning rate."
        )
    return Defended(encoder.requires_grad_(False).eval(), images_seen, notes)
