"""Does a removed backdoor come back? Two things that happen to an encoder after purification.

    distilled_again   plain distillation from the suspect encoder: it and the student see the same
                      clean images. A backdoor that is only masked comes back, because the clean
                      features of the suspect encoder carry it.
    fine_tuned        a user trains the encoder with a linear head on few labelled clean images.

Both change a copy, in train mode, on views that are flipped and shifted by up to 3/32 of the side,
with Adam and a rate that falls to zero on a cosine.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DivergedError
from mimic_ray.base.progress import StepCallback
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.views import flip_and_shift, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.losses.clone import clone_loss


@dataclass(frozen=True)
class PlainDistillation:
    """The settings of `distilled_again`: 60 steps, from 1e-3 to 0, batch 64."""

    steps: int = 60
    rate: float = 1e-3
    batch: int = 64

    def described(self) -> str:
        return f"{self.steps} steps, Adam {self.rate:g} to 0, batch {self.batch}"


@dataclass(frozen=True)
class FineTuning:
    """The settings of `fine_tuned`: 20 epochs, Adam 1e-4, 5e-3 for the head.

    `share` of the labelled images is used, and at least `least` of each class, if there are.
    """

    share: float = 0.01
    least: int = 10
    epochs: int = 20
    rate: float = 1e-4
    head_rate: float = 5e-3
    batch: int = 32

    def described(self) -> str:
        return (
            f"{100 * self.share:g} % of the training images, at least {self.least} a class, "
            f"{self.epochs} epochs, Adam {self.rate:g} (head {self.head_rate:g}) to 0, "
            f"batch {self.batch}"
        )


class FineTuned(NamedTuple):
    """The encoder and its linear head, features [N, D] of any length -> classes [N]."""

    encoder: Encoder
    head: Callable[[Tensor], Tensor]


def distilled_again(
    student: Encoder,
    suspect: Encoder,
    images: DecodedImages,
    compute: Compute,
    seed: int,
    settings: PlainDistillation | None = None,
    on_step: StepCallback = lambda done, total: None,
) -> Encoder:
    """The student after a few plain steps: L = 1 - cos(student(x), suspect(x)).

    Raises DivergedError if the loss is not finite.
    """
    settings = settings or PlainDistillation()
    device = compute.torch_device
    again = copy.deepcopy(student).to(device).train().requires_grad_(True)
    suspect = suspect.to(device).eval()
    optimiser = torch.optim.Adam(again.parameters(), lr=settings.rate)
    plan = EpochPlan(len(images), min(settings.batch, len(images)), seed)
    with seeds.torch_seeded(seed, device), torch.enable_grad():
        for step in range(settings.steps):
            views = _views(images, plan.batch(step), seed, step).to(device)
            with compute.autocast():
                with torch.no_grad():
                    aim = suspect(views)
                found = again(views)
            _step(optimiser, clone_loss(found, aim), (settings.rate,), step / settings.steps)
            on_step(step + 1, settings.steps)
    return again.cpu().eval().requires_grad_(False)


def fine_tuned(
    encoder: Encoder,
    images: DecodedImages,
    labels: Tensor,
    classes: int,
    compute: Compute,
    seed: int,
    settings: FineTuning | None = None,
    on_step: StepCallback = lambda done, total: None,
) -> FineTuned:
    """Encoder and linear head, trained together by cross-entropy on few of the labelled images.

    `labels` int64 [N] belong to `images`. Raises DivergedError if the loss is not finite.
    """
    settings = settings or FineTuning()
    device = compute.torch_device
    few = few_of_each_class(labels, settings.share, settings.least, seed)
    tuned = copy.deepcopy(encoder).to(device).train().requires_grad_(True)
    plan = EpochPlan(len(few), min(settings.batch, len(few)), seed)
    steps = settings.epochs * plan.steps_per_epoch
    with seeds.torch_seeded(seed, device), torch.enable_grad():
        head = nn.Linear(encoder.spec.feature_width, classes).to(device)
        rates = (settings.rate, settings.head_rate)
        parameters = ({"params": tuned.parameters()}, {"params": head.parameters()})
        optimiser = torch.optim.Adam(parameters, lr=settings.rate)
        for step in range(steps):
            chosen = few[plan.batch(step)]
            views = _views(images, chosen, seed, step).to(device)
            with compute.autocast():
                found = tuned(views)
            loss = F.cross_entropy(head(_scaled(found)), labels[chosen].to(device))
            _step(optimiser, loss, rates, step / steps)
            on_step(step + 1, steps)
    head = head.cpu().eval().requires_grad_(False)
    tuned = tuned.cpu().eval().requires_grad_(False)
    return FineTuned(tuned, lambda features: head(_scaled(features)).argmax(dim=1))


def few_of_each_class(labels: Tensor, share: float, least: int, seed: int) -> Tensor:
    """Positions of `share` of the images of each class, but at least `least`, in order."""
    generator = seeds.generator(seed, "few labelled images")
    chosen = []
    for label in labels.unique():
        of_class = (labels == label).nonzero().squeeze(1)
        number = max(least, round(share * len(of_class)))
        chosen.append(of_class[torch.randperm(len(of_class), generator=generator)[:number]])
    return torch.cat(chosen).sort().values


def _scaled(features: Tensor) -> Tensor:
    """[N, D] with entries of about 1, as a linear layer expects them, for encoders of any scale."""
    return F.normalize(features.float(), dim=1) * math.sqrt(features.shape[1])


def _views(images: DecodedImages, chosen: Tensor, seed: int, step: int) -> Tensor:
    keys = seeds.keys(seed, "revival", step, chosen)
    return flip_and_shift(to_float(images.gather(chosen)), keys)


def _step(
    optimiser: torch.optim.Optimizer, loss: Tensor, rates: tuple[float, ...], done: float
) -> None:
    if not loss.isfinite():
        raise DivergedError(f"The loss is {loss.item()} after {100 * done:.0f} % of the steps.")
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"] = 0.5 * rate * (1 + math.cos(math.pi * done))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
