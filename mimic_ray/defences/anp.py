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

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.prunable_units import Rows, prune, rows, scaled_features
from mimic_ray.defences.training_loop import (
    Batch,
    defended,
    features,
    suspect_as_teacher,
    train_masks,
)
from mimic_ray.encoders.encoder import Encoder
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
    pruned = suspect_as_teacher(inputs)
    found = rows(pruned, "anp")
    masks = learnt_masks(
        inputs, pruned, found, size=size, alpha=alpha, rate=rate, steps=steps, batch=batch
    )
    cut = prune(pruned, found, masks, threshold)
    total = sum(each.units for each in found)
    return defended(pruned, 3 * steps * batch, f"{cut} of {total} units were cut.")


def learnt_masks(
    inputs: DefenceInputs,
    encoder: Encoder,
    found: Sequence[Rows],
    *,
    size: float,
    alpha: float,
    rate: float,
    steps: int,
    batch: int,
) -> list[Tensor]:
    """m [C] of each layer; the encoder is frozen and stays as it is."""
    compute, device = inputs.compute, inputs.compute.torch_device
    masks = [torch.ones(each.units, device=device, requires_grad=True) for each in found]

    def loss(images: Batch) -> Tensor:
        view = images.view()
        with torch.no_grad():
            wanted = features(encoder, view, compute)

        def value(scales: Sequence[Tensor], shifts: Sequence[Tensor] | None = None) -> Tensor:
            changed = scaled_features(encoder, view, compute, found, scales, shifts)
            return clone_loss(changed, wanted)

        noise, bias_noise = (
            disturbances(inputs.seed, part, images.step, masks, size) for part in ("d", "e")
        )
        raised = value(
            [m.detach() + d for m, d in zip(masks, noise, strict=True)],
            [1 + e for e in bias_noise],
        )
        leaves = [*noise, *bias_noise]
        gradients = torch.autograd.grad(raised, leaves, materialize_grads=True)
        moved = [
            (leaf + size * gradient.sign()).detach()
            for leaf, gradient in zip(leaves, gradients, strict=True)
        ]
        disturbed = value(
            [m + d for m, d in zip(masks, moved[: len(masks)], strict=True)],
            [1 + e for e in moved[len(masks) :]],
        )
        return alpha * value(masks) + (1 - alpha) * disturbed

    train_masks(inputs, masks, loss, rate=rate, steps=steps, batch=batch)
    return masks


def disturbances(
    seed: int, part: str, step: int, masks: Sequence[Tensor], size: float
) -> list[Tensor]:
    """Numbers in [-size, size], a leaf [C] for each layer."""
    leaves = []
    for number, mask in enumerate(masks):
        draws = seeds.uniform(seeds.keys(seed, part, step, number), len(mask))
        leaves.append(((2 * draws - 1) * size).to(mask.device).requires_grad_())
    return leaves
