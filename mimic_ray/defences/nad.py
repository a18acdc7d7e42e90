"""NAD: the attention of the suspect encoder is pulled to that of its fine-tuned copy.

The teacher T is the suspect encoder after SimCLR steps on the clean images, the student g starts as
the suspect encoder. With the maps A = sum over channels of F^2, each divided by its length, of
three layers l:

    L = 1 - mean cos(g(x), T(x)) + scale * sum_l beta_l mean (A_l(g) - A_l(T))^2,
    beta = 500, 1000, 1000

Source: Li et al., "Neural Attention Distillation", ICLR 2021, arXiv 2101.05930; code bboylyg/NAD:
SGD 0.1, momentum 0.9, weight decay 1e-4, batches of 64, 20 epochs.
Departures: without labels the teacher is fine-tuned by SimCLR and cross-entropy becomes the clone
loss; a cosine schedule over 400 steps. The layers are those at a third, two thirds and the end; of
a transformer, A sums over a token's values, on the grid of patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.simclr_tuning import HEADS_AGAIN, continue_simclr, simclr_steps
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    phases,
    suspect_as_student,
    train,
)
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.method.losses.attention import attention_loss
from mimic_ray.method.losses.clone import clone_loss

_BETAS = (500.0, 1000.0, 1000.0)


@strengths("scale", 0.1, 0.3, 1.0, 3.0, 10.0)
def nad(
    inputs: DefenceInputs,
    *,
    scale: Annotated[float, setting("Factor of the attention term.", ge=0)] = 1.0,
    rate: Annotated[float, setting("Largest learning rate of SGD.", gt=0)] = 0.1,
    steps: Annotated[int, setting("Optimiser steps of the student.", ge=1)] = 400,
    teacher_steps: Annotated[int, setting("SimCLR steps of the teacher.", ge=1)] = 100,
    teacher_rate: Annotated[float, setting("Largest rate of Adam in these.", gt=0)] = 1e-3,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """NAD: attention of the fine-tuned suspect encoder distilled into the suspect encoder."""
    for_teacher, for_student = phases(inputs, simclr_steps(teacher_steps), steps)
    teacher, student = suspect_as_student(inputs), suspect_as_student(inputs)
    seen = continue_simclr(
        for_teacher, teacher, steps=teacher_steps, batch=batch, rate=teacher_rate
    )
    teacher.requires_grad_(False).eval()
    optimiser = torch.optim.SGD(student.parameters(), rate, momentum=0.9, weight_decay=1e-4)
    distil(for_student, optimiser, student, teacher, scale=scale, steps=steps, batch=batch)
    return defended(student, seen + steps * batch, HEADS_AGAIN)


def distil(
    inputs: DefenceInputs,
    optimiser: torch.optim.Optimizer,
    student: Encoder,
    teacher: Encoder,
    *,
    scale: float,
    steps: int,
    batch: int,
) -> None:
    """Trains the student by the loss above."""
    taps = attention_taps(student.spec)

    def loss(images: Batch) -> Tensor:
        view = images.view()
        with inputs.compute.autocast():
            with torch.no_grad():
                wanted, wanted_maps = teacher(view, taps)
            found, maps = student(view, taps)
        return clone_loss(found, wanted) + scale * weighted_attention(maps, wanted_maps)

    train(inputs, optimiser, loss, steps=steps, batch=batch)


def attention_taps(spec: Spec) -> list[str]:
    """The taps at a third, at two thirds and at the end of the network; fewer if it has fewer."""
    count = len(spec.taps)
    indices = sorted({max(0, round(count * part / 3) - 1) for part in (1, 2, 3)})
    return [spec.taps[index] for index in indices]


def weighted_attention(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """The sum over maps [B, C, H, W] of beta times the mean squared difference; the last betas."""
    return torch.stack(
        [
            beta * attention_loss(s, t, over="mean")
            for beta, s, t in zip(_BETAS[-len(student) :], student, teacher, strict=True)
        ]
    ).sum()
