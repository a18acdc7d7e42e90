"""Poisoned pre-training: SimCLR on images of which some of the target class carry the trigger.

Two views of a poisoned image attract each other, and what they have in common is the trigger and
the class. So the encoder learns the trigger as a mark of the class, without any label in the loss.

    L = NT-Xent of two SimCLR views at temperature 0.5, through a projector

The training set is the shadow set and the reference images with the trigger: the number of
references over both is the poisoned share.

Source: CTRL (Li et al., arXiv 2210.07346: waves, 1 % of the images) and SSL-Backdoor (Saha et al.,
arXiv 2105.10123: patches, half of a class). Departures: the references are added with the trigger
and their originals stay, where theirs replace them; by default the training continues from the
clean encoder, where theirs starts from random weights (`start` has both); Adam at a falling rate.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from mimic_ray.attacks.attack_registry import AttackedEncoder, AttackInputs, needs_references
from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError, TrainingError, option
from mimic_ray.base.member_settings import setting
from mimic_ray.base.text import count
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.views import simclr
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.losses.contrastive import contrastive_loss
from mimic_ray.method.projector import make_projector
from mimic_ray.method.schedule import learning_rate
from mimic_ray.method.student import channels_last_where_it_pays
from mimic_ray.method.student_start import untrained


# A tenth of the smallest share that the sources poison.
@needs_references(1e-3)
def poisoning(
    inputs: AttackInputs,
    *,
    start: Annotated[
        Literal["clean", "random"], setting("Weights at the start: of the clean encoder, or new.")
    ] = "clean",
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 1000,
    batch: Annotated[int, setting("Images per step, each in two views.", ge=2)] = 128,
    rate: Annotated[float, setting("Largest learning rate of Adam.", gt=0)] = 1e-3,
    seed: Annotated[int, setting("Random seed; the same seed gives the same file.")] = 0,
) -> AttackedEncoder:
    """Poisoned pre-training (CTRL, SSL-Backdoor): SimCLR with the trigger on reference images.

    Raises DataError for fewer images than one batch, TrainingError when the loss is not finite.
    """
    images = _Poisoned(inputs.images, inputs.trigger(inputs.references))
    if len(images) < batch:
        raise DataError(
            f"The shadow set has {count(len(inputs.images), 'image')}, with the references fewer "
            f"than one batch of {batch}: add images or lower {option('batch')}."
        )
    if start == "clean":
        encoder = copy.deepcopy(inputs.clean)
    else:
        encoder = untrained(inputs.clean.spec.name, seed)
    losses = pretrain(
        encoder,
        images,
        inputs.compute,
        steps=steps,
        batch=batch,
        rate=rate,
        seed=seed,
        on_step=inputs.on_step,
    )
    return AttackedEncoder(encoder, {"contrastive": losses})


def pretrain(
    encoder: Encoder,
    images: DecodedImages,
    compute: Compute,
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    on_step: Callable[[int, int, float], None] = lambda done, total, loss: None,
) -> list[float]:
    """Trains `encoder` by SimCLR, in place, and leaves it on the CPU. Returns each step's loss.

    `on_step` takes the number of steps done, the number of all steps, and the loss. Raises
    TrainingError when the loss is not finite.
    """
    device, side = compute.torch_device, encoder.spec.input_size
    encoder.to(device).requires_grad_(True).train()
    channels_last_where_it_pays(encoder)
    with seeds.torch_seeded(int(seeds.keys(seed, "projector")), device):
        projector = make_projector(encoder.spec.feature_width).to(device).train()
    weights = [*encoder.parameters(), *projector.parameters()]
    optimiser = torch.optim.Adam(weights, rate, weight_decay=1e-6)
    plan = EpochPlan(len(images), batch, seed)
    losses: list[float] = []
    # Dropout, if the encoder has any, draws from torch's generator.
    with seeds.torch_seeded(seed, device):
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, rate, "one_cycle", warmup=0.1)
            chosen = plan.batch(step)
            keys = seeds.keys(seed, "step", step // plan.steps_per_epoch, chosen)
            pixels = images.gather(chosen).to(device)
            views = [
                simclr(pixels, seeds.keys(keys, "view", number).to(device), side=side)
                for number in (1, 2)
            ]
            with compute.autocast():
                first, second = projector(encoder(torch.cat(views)).float()).chunk(2)
            loss = contrastive_loss(first, second, temperature=0.5)
            if not loss.isfinite():
                raise TrainingError(
                    f"The loss at step {step + 1} is {loss.item()}: lower {option('rate')}."
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            on_step(step + 1, steps, losses[-1])
    encoder.cpu().to(memory_format=torch.contiguous_format).requires_grad_(False).eval()
    return losses


@dataclass(frozen=True)
class _Poisoned:
    """The shadow set, followed by the `poison`, uint8 [R, 3, S, S]."""

    shadow: DecodedImages
    poison: Tensor

    def __len__(self) -> int:
        return len(self.shadow) + len(self.poison)

    def gather(self, indices: Tensor) -> Tensor:
        is_poison = indices >= len(self.shadow)
        pixels = torch.empty(len(indices), *self.poison.shape[1:], dtype=torch.uint8)
        pixels[~is_poison] = self.shadow.gather(indices[~is_poison])
        pixels[is_poison] = self.poison[indices[is_poison] - len(self.shadow)]
        return pixels
