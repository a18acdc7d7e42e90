"""ANP: units whose disturbance changes the features most are cut.

Each norm channel computes gamma (m + d), beta (1 + e), with a mask m in [0, 1] that starts at 1.
Every step draws d, e from [-s, s], moves them by s along the sign of the gradient that raises the
loss, and takes an SGD step on the masks alone, which then are clamped to [0, 1]:

    alpha L(m) + (1 - alpha) L(m, d, e),    L = 1 - mean cos(g(x), f(x)),  s = 0.4, alpha = 0.2

At the end gamma becomes 0 where m < threshold.

Source: Wu and Wang, "Adversarial Neuron Pruning Purifies Backdoored Deep Models", NeurIPS 2021,
arXiv 2110.14430; code csdongxian/ANP_backdoor: SGD 0.2, momentum 0.9, 2,000 steps of 128, one
ascent step, thresholds of 0 to 0.9.
Departures: clone loss instead of cross-entropy; running statistics (eval mode); 200 steps of 64;
layer norms and the hidden units of MLPs have masks too.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.prunable_units import prune, rows, scaled_features
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    features,
    suspect_as_teacher,
    train,
)
from mimic_ray.method.losses.clone import clone_loss


@strengths("threshold", 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
def anp(
    inputs: DefenceInputs,
    *,
    threshold: Annotated[float, setting("Units with a smaller mask are cut.", ge=0, le=1)] = 0.2,
    size: Annotated[float, setting("s, the size of the disturbance.", gt=0)] = 0.4,
    alpha: Annotated[float, setting("Weight of the undisturbed loss.", ge=0, le=1)] = 0.2,
    rate: Annotated[float, setting("Learning rate of SGD on the masks.", gt=0)] = 0.2,
    steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 200,
    batch: Annotated[int, setting("Images per step.", ge=2)] = 64,
) -> Defended:
    """ANP: units that are sensitive to a disturbance are cut.

    Raises UsageError for an encoder with nothing to prune.
    """
    pruned, compute = suspect_as_teacher(inputs), inputs.compute
    found = rows(pruned, "anp")
    masks = [torch.ones(r.units, device=compute.torch_device, requires_grad=True) for r in found]

    def drawn(step: int, part: str) -> list[Tensor]:
        """Disturbances in [-s, s], a leaf for each layer."""
        leaves = []
        for number, mask in enumerate(masks):
            key = seeds.keys(inputs.seed, part, step, number)
            start = (2 * seeds.uniform(key, len(mask)) - 1) * size
            leaves.append(start.to(mask.device).requires_grad_())
        return leaves

    def loss(images: Batch) -> Tensor:
        view = images.view()
        with torch.no_grad():
            wanted = features(pruned, view, compute)
        noise, bias_noise = drawn(images.step, "scale"), drawn(images.step, "shift")

        def value(of_masks: list[Tensor], d: list[Tensor], e: list[Tensor]) -> Tensor:
            scales = [m + each for m, each in zip(of_masks, d, strict=True)]
            shifts = [1 + each for each in e]
            return clone_loss(scaled_features(pruned, view, compute, found, scales, shifts), wanted)

        raised = value([m.detach() for m in masks], noise, bias_noise)
        gradients = torch.autograd.grad(raised, [*noise, *bias_noise], materialize_grads=True)
        moved = [
            (leaf + size * gradient.sign()).detach()
            for leaf, gradient in zip([*noise, *bias_noise], gradients, strict=True)
        ]
        disturbed = value(masks, moved[: len(masks)], moved[len(masks) :])
        plain = clone_loss(scaled_features(pruned, view, compute, found, masks), wanted)
        return alpha * plain + (1 - alpha) * disturbed

    optimiser = torch.optim.SGD(masks, rate, momentum=0.9)
    train(
        inputs,
        optimiser,
        loss,
        steps=steps,
        batch=batch,
        schedule="constant",
        after_step=lambda: [mask.data.clamp_(0, 1) for mask in masks],
    )
    cut = prune(pruned, found, masks, threshold)
    total = sum(each.units for each in found)
    return defended(pruned, 3 * steps * batch, f"{cut} of {total} units were cut.")
