"""PAR, image encoder only: features are pushed away from the suspect's, their relations are kept.

With the similarities s(h) = softmax over the other images of a batch of n(h(x)) . n(h(x')) / 0.07:

    L = KL( s(f) || s(g) ) - push * D,    D = mean |n(g(x)) - n(f(x))|^2, 0 once it exceeds tau

tau = 2.15 of at most 4: beyond a right angle. The space may turn, so the features do not fit the
suspect's heads by design. A comparison measures them also behind a linear map back.

Source: "Perturb and Recover: Fine-tuning for Effective Backdoor Removal from CLIP", arXiv
2412.00727; code nmndeep/PerturbAndRecover: CLIP's loss on image and text keeps the relations, 0.5
(D_image + D_text) pushes, AdamW (0.9, 0.98), weight decay 1e-4, 3e-5 with a cosine.
Departures: no text, so similarities between images stand for CLIP's loss, and D counts once; rate
1e-3, 600 steps of 64; 1 % weight noise at the start, since D has no gradient at 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.training_loop import (
    Batch,
    add_weight_noise,
    defended,
    suspect_as_student,
    suspect_as_teacher,
    train,
    unit_features,
)

_TEMPERATURE = 0.07
_NOTE = "The features turn away from the suspect encoder's by design: heads must be trained again."


@strengths("tau", 0.1, 0.3, 1.0, 2.15)
def par(
    inputs: DefenceInputs,
    *,
    tau: Annotated[float, setting("Squared distance at which the push ends.", gt=0, le=4)] = 2.15,
    push: Annotated[float, setting("Weight of D.", gt=0)] = 1.0,
    rate: Annotated[float, setting("Largest learning rate of AdamW.", gt=0)] = 1e-3,
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 600,
    batch: Annotated[int, setting("Images per step.", ge=3)] = 64,
) -> Defended:
    """PAR: features pushed away from the suspect's with their relations kept; new heads needed."""
    teacher, student = suspect_as_teacher(inputs), suspect_as_student(inputs)
    add_weight_noise(student, inputs.seed)

    def loss(images: Batch) -> Tensor:
        view = images.view()
        with torch.no_grad():
            wanted = unit_features(teacher, view, inputs.compute)
        return par_loss(unit_features(student, view, inputs.compute), wanted, push, tau)

    optimiser = torch.optim.AdamW(student.parameters(), rate, betas=(0.9, 0.98), weight_decay=1e-4)
    train(inputs, optimiser, loss, steps=steps, batch=batch)
    return replace(defended(student, steps * batch, _NOTE), turned=True)


def par_loss(student: Tensor, teacher: Tensor, push: float, tau: float) -> Tensor:
    """Unit features [B, D] and [B, D] of the same images -> scalar, as above."""
    distance = (student - teacher).square().sum(dim=1).mean()
    still = (distance <= tau).to(distance.dtype).detach()
    kept = F.kl_div(
        _similarities(student), _similarities(teacher), reduction="batchmean", log_target=True
    )
    return kept - push * still * distance


def _similarities(features: Tensor) -> Tensor:
    """Log probabilities [B, B - 1] over the other images."""
    count = len(features)
    others = ~torch.eye(count, dtype=torch.bool, device=features.device)
    logits = (features @ features.T / _TEMPERATURE)[others].view(count, count - 1)
    return F.log_softmax(logits, dim=1)
