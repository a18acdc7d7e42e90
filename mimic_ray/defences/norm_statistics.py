"""Batch-norm statistics estimated again on the clean images; no weight is trained.

The running statistics become the mean over batches of the batch's mean and unbiased variance, with
every layer normalised by its batch, as in training. With `share` s < 1 they move part of the way:

    new = (1 - s) suspect's + s estimated

Source: the zero-step point of fine-tuning; the estimate is that of Wu and Johnson, "Rethinking
'Batch' in BatchNorm", arXiv 2105.07576, section 3 ("PreciseBN"). Departure: the variance is the
mean of the batches' variances.
"""

from __future__ import annotations

from typing import Annotated

import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.training_loop import batches, defended, features, suspect_as_student
from mimic_ray.method.batch_norm import batch_norms, read_statistics


@strengths("share", 0.25, 0.5, 0.75, 1.0)
@torch.no_grad()
def batch_norm(
    inputs: DefenceInputs,
    *,
    share: Annotated[float, setting("How far the statistics move.", gt=0, le=1)] = 1.0,
    epochs: Annotated[int, setting("Passes over the images.", ge=1)] = 2,
    batch: Annotated[int, setting("Images per batch.", ge=2)] = 64,
) -> Defended:
    """Batch-norm statistics estimated again, no training.

    Raises UsageError for an encoder without batch norm.
    """
    student = suspect_as_student(inputs)
    norms = batch_norms(student)
    if not norms:
        raise UsageError(
            f"{inputs.architecture} has no batch norm, so batch_norm has nothing to estimate: "
            "leave this defence out."
        )
    before, momenta = read_statistics(norms), [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    steps = epochs * (len(inputs.images) // batch)
    for each in batches(inputs, max(1, steps), batch):
        features(student, each.view(), inputs.compute)
        inputs.on_step(each.step + 1, steps)
    for norm, momentum, (mean, variance) in zip(norms, momenta, before, strict=True):
        norm.momentum = momentum
        assert norm.running_mean is not None  # batch_norms() leaves out those without statistics
        assert norm.running_var is not None
        norm.running_mean.lerp_(mean, 1 - share)
        norm.running_var.lerp_(variance, 1 - share)
    return defended(student, steps * batch)
