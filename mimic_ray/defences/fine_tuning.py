"""Fine-tuning with the clone loss: the usual baseline.

    L = 1 - mean cos(g(x), f(x))

f is the suspect encoder in eval mode, g starts with its weights and trains on its own batch-norm
statistics; both see the same view x. Without labels there is nothing else to fine-tune on.

Source: the baseline "FT" of most papers, here without labels. BCU's scripts (luluppang/BCU) use SGD
0.01 with momentum 0.9 and weight decay 5e-4, a cosine schedule and 100 epochs.
Departures: clone loss instead of cross-entropy, Adam, 600 steps.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    features,
    suspect_as_student,
    suspect_as_teacher,
    train,
)
from mimic_ray.method.losses.clone import clone_loss


@strengths("rate", 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
def fine_tuning(
    inputs: DefenceInputs,
    *,
    rate: Annotated[float, setting("Largest learning rate of Adam.", gt=0)] = 1e-3,
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 600,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """Fine-tuning with the clone loss."""
    teacher, student = suspect_as_teacher(inputs), suspect_as_student(inputs)

    def loss(images: Batch) -> Tensor:
        view = images.view()
        with torch.no_grad():
            wanted = features(teacher, view, inputs.compute)
        return clone_loss(features(student, view, inputs.compute), wanted)

    optimiser = torch.optim.Adam(student.parameters(), rate)
    train(inputs, optimiser, loss, steps=steps, batch=batch)
    return defended(student, steps * batch)
