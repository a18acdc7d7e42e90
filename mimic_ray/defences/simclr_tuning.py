"""SimCLR continued: the suspect encoder is trained on by its own kind of self-supervision.

    L = NT-Xent of two SimCLR views at temperature 0.5, through a projector

The projector is initialised and first trained alone, with the encoder frozen. No term holds the
features where they are: they drift, and heads must be trained again.

Source: fine-tuning in "Can Distillation Mitigate Backdoor Attacks in Pre-trained Encoders?", arXiv
2403.03846, and the image half of CleanCLIP, arXiv 2303.03323; the loss is SimCLR's, arXiv
2002.05709, with the rate 1e-3 and weight decay 1e-6 of BadEncoder's pre-training.
Departures: 300 steps of 64 images in two views, theirs 20 to 100 epochs of 256 at 1e-4.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    features,
    phases,
    suspect_as_student,
    train,
)
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.losses.contrastive import contrastive_loss
from mimic_ray.method.projector import make_projector

HEADS_AGAIN = "The features leave the suspect encoder's: heads must be trained again."


@strengths("rate", 1e-4, 3e-4, 1e-3, 3e-3)
def simclr(
    inputs: DefenceInputs,
    *,
    rate: Annotated[float, setting("Largest learning rate of Adam.", gt=0)] = 1e-3,
    steps: Annotated[int, setting("Optimiser steps after the projector's.", ge=1)] = 300,
    batch: Annotated[int, setting("Images per step, each in two views.", ge=2)] = 64,
) -> Defended:
    """SimCLR continued on the clean images; heads must be trained again."""
    student = suspect_as_student(inputs)
    seen = continue_simclr(inputs, student, steps=steps, batch=batch, rate=rate)
    return defended(student, seen, HEADS_AGAIN)


def simclr_steps(steps: int) -> int:
    """All steps of `continue_simclr`, the projector's among them."""
    return steps + ceil(steps / 10)


def continue_simclr(
    inputs: DefenceInputs, encoder: Encoder, *, steps: int, batch: int, rate: float
) -> int:
    """Trains `encoder` in place, after a tenth of the steps for the projector alone.

    Leaves it in train mode. Returns how many images went through it.
    """
    device = inputs.compute.torch_device
    with seeds.torch_seeded(int(seeds.keys(inputs.seed, "projector")), device):
        projector = make_projector(encoder.spec.feature_width).to(device).train()
    alone, together = phases(inputs, simclr_steps(steps) - steps, steps)

    def loss(images: Batch) -> Tensor:
        first, second = (
            projector(features(encoder, images.simclr_view(number), inputs.compute))
            for number in (1, 2)
        )
        return contrastive_loss(first, second, temperature=0.5)

    for phase, trained, length in (
        (alone, [*projector.parameters()], simclr_steps(steps) - steps),
        (together, [*projector.parameters(), *encoder.parameters()], steps),
    ):
        is_trained = phase is together
        encoder.requires_grad_(is_trained).train(is_trained)
        optimiser = torch.optim.Adam(trained, rate, weight_decay=1e-6)
        train(phase, optimiser, loss, steps=length, batch=batch)
    return 2 * batch * simclr_steps(steps)
