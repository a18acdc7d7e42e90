"""Universal sensitivity: how far one small change, common to all images, draws them to one feature.

A backdoor is such a change. Several are sought for this encoder, in the bases of the adversary of
distillation (pixel, Fourier, coarse, patch), on one half of the images; the other half judges.

    c(X)   = mean cosine of the features of different images of X
    answer = (c(changed) - c(plain)) / (1 - c(plain))      1: all images at one point

Displacement alone says less: a change that moves each image elsewhere opens no door.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.adversary import Slot, ascend, mask, new_slot
from mimic_ray.scan.frozen import batches_of, concentration, unit_features

BASES = ("pixel", "fourier", "coarse", "patch")
_SIZE = 0.14  # what the adversary of the default recipe uses


def universal(
    encoder: Encoder,
    images: Tensor,
    compute: Compute,
    seed: int,
    *,
    slots_per_basis: int,
    steps: int,
    batch: int = 16,
    bases: tuple[str, ...] = BASES,
) -> float:
    """Mean over the bases of the strongest answer found in each; about [0, 1].

    The encoder is frozen already; images [N, 3, S, S] in [0, 1] on the device, N >= 4.
    """
    sought, judged = images[::2], images[1::2]
    slots = [
        new_slot(basis, _SIZE, images.shape[-1], seeds.keys(seed, basis, number), images.device)
        for basis in bases
        for number in range(slots_per_basis)
    ]
    for step in range(steps):
        rows = torch.arange(step * batch, (step + 1) * batch, device=images.device) % len(sought)
        _climb(encoder, sought[rows.unique()], slots, compute)
    strongest = answers(encoder, judged, slots, compute).view(len(bases), slots_per_basis)
    return float(strongest.amax(dim=1).mean().clamp(0, 1))


@torch.no_grad()
def answers(encoder: Encoder, images: Tensor, slots: list[Slot], compute: Compute) -> Tensor:
    """[K], one number a slot, from images that had no part in the search."""
    plain = concentration(unit_features(encoder, images, compute))
    changed = torch.stack(
        [
            concentration(unit_features(encoder, _change(images, [slot])[0], compute))
            for slot in slots
        ]
    )
    return (changed - plain) / (1 - plain).clamp_min(1e-6)


def _climb(encoder: Encoder, images: Tensor, slots: list[Slot], compute: Compute) -> None:
    """One step of every slot towards more concentration of these images."""
    together = batches_of(len(images), images.shape[-1])
    for first in range(0, len(slots), together):
        some = slots[first : first + together]
        canvases = [slot.canvas.requires_grad_() for slot in some]
        features = unit_features(encoder, _change(images, some).flatten(0, 1), compute)
        goal = concentration(features.view(len(some), len(images), -1)).sum()
        gradients = torch.autograd.grad(goal, canvases)
        with torch.no_grad():
            for slot, gradient in zip(some, gradients, strict=True):
                slot.canvas = slot.canvas.detach()
                ascend(slot, gradient)


def _change(images: Tensor, slots: list[Slot]) -> Tensor:
    """Images [B, 3, S, S] under each of K slots: [K, B, 3, S, S]."""
    canvases = torch.stack([slot.canvas for slot in slots])
    masks = torch.stack([mask(slot) for slot in slots])
    return (images * (1 - masks[:, None]) + canvases[:, None]).clamp(0, 1)
