"""RNP: the suspect encoder unlearns the clean images; units that do not help to recover are cut.

1. Unlearn: a copy u of the suspect encoder f raises 1 - mean cos(u(x'), f(x)) until the cosine of a
   batch is at most 0.2. What is left of it is the reaction to the trigger.
2. Recover: masks m in [0, 1] on the units of u, from 1, lower the same loss times 0.2.
3. Prune: units of f with m < threshold get the weight 0.

Source: Li et al., "Reconstructive Neuron Pruning for Backdoor Defense", ICML 2023, arXiv
2305.14876; code bboylyg/RNP: SGD 0.01, gradient length at most 20, until the accuracy is near
chance; masks by SGD 0.2, momentum 0.9, 20 epochs.
Departures: clone loss instead of cross-entropy, whose gradient vanishes where u = f, so that u sees
another view x' of the image and starts with 1 % weight noise; layer norms and the hidden units of
MLPs have masks too.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.prunable_units import prune, rows, scaled_features
from mimic_ray.defences.training_loop import (
    Batch,
    add_weight_noise,
    defended,
    features,
    phases,
    suspect_as_student,
    suspect_as_teacher,
    train,
    train_masks,
)
from mimic_ray.method.losses.clone import clone_loss

_UNLEARNT_COSINE = 0.2
_RECOVERY_WEIGHT = 0.2


@strengths("threshold", 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
def rnp(
    inputs: DefenceInputs,
    *,
    threshold: Annotated[float, setting("Units with a smaller mask are cut.", ge=0, le=1)] = 0.2,
    unlearning_rate: Annotated[float, setting("Rate of SGD on the weights.", gt=0)] = 0.01,
    rate: Annotated[float, setting("Rate of SGD on the masks.", gt=0)] = 0.2,
    unlearning_steps: Annotated[int, setting("At most, to unlearn.", ge=1)] = 200,
    steps: Annotated[int, setting("Steps to recover.", ge=1)] = 400,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """RNP: units that do not help an encoder to recover from unlearning are cut.

    Raises UsageError for an encoder with nothing to prune.
    """
    pruned, unlearnt = suspect_as_teacher(inputs), suspect_as_student(inputs)
    compute = inputs.compute
    found = rows(pruned, "rnp")
    add_weight_noise(unlearnt, inputs.seed)
    first, second = phases(inputs, unlearning_steps, steps)
    distance = torch.zeros(())

    def unlearn(images: Batch) -> Tensor:
        nonlocal distance
        with torch.no_grad():
            wanted = features(pruned, images.view(), compute)
        loss = clone_loss(features(unlearnt, images.view(2), compute), wanted)
        distance = loss.detach()
        return -loss

    taken = train(
        first,
        torch.optim.SGD(unlearnt.parameters(), unlearning_rate, momentum=0.9),
        unlearn,
        steps=unlearning_steps,
        batch=batch,
        schedule="constant",
        clip_norm=20.0,
        enough=lambda: float(distance) >= 1 - _UNLEARNT_COSINE,
    )
    unlearnt.requires_grad_(False).eval()
    masks = [torch.ones(r.units, device=compute.torch_device, requires_grad=True) for r in found]

    def recover(images: Batch) -> Tensor:
        view = images.view()
        with torch.no_grad():
            wanted = features(pruned, view, compute)
        recovered = scaled_features(unlearnt, view, compute, found, masks)
        return _RECOVERY_WEIGHT * clone_loss(recovered, wanted)

    train_masks(second, masks, recover, rate=rate, steps=steps, batch=batch)
    cut = prune(pruned, found, masks, threshold)
    total = sum(each.units for each in found)
    return defended(pruned, (taken + steps) * batch, f"{cut} of {total} units were cut.")
