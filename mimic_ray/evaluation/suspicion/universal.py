"""Universal sensitivity: how far one change, common to all images, draws them to one feature.

A backdoor is such a change. Candidates are the perturbation families' own: a family and a key
decide a change, and the same key for all images makes it universal.

    c(X)   = mean cosine of the features of different images of X
    answer = (c(changed) - c(plain)) / (1 - c(plain))      1: all images at one feature

Displacement alone says less: a change that moves each image elsewhere opens no door. Candidates are
screened on a few images and judged on others. Those screened on the teacher, whose backdoor is
whole, are asked of its students as well: what is left of it answers to the same changes. Ascent
along the gradient was tried and finds what every honest encoder answers to, see docs/measurements.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import concentration, images_at_a_time, unit_features

# Warp and blur bring nothing that could be common to images.
FAMILIES = ("patch", "blend", "frequency", "noise", "colour")

# Enough to tell a change that gathers images from one that does not, not to say how well.
_SCREENED_ON = 8

# Keys of changes by family, the strongest first.
Changes = Mapping[str, tuple[int, ...]]


def screen(
    encoder: Encoder,
    images: Tensor,
    compute: Compute,
    seed: int,
    *,
    candidates: int,
    kept: int,
) -> dict[str, tuple[int, ...]]:
    """The changes of each family that gather the images most, out of so many candidates.

    The encoder is frozen already; images [N, 3, S, S] in [0, 1] on the device, N >= 2.
    """
    found = {}
    for family in FAMILIES:
        keys = seeds.keys(seed, "universal", family, torch.arange(candidates))
        answer = answers(encoder, images[:_SCREENED_ON], family, keys, images, compute)
        # Stable: equal answers must give the same changes everywhere.
        order = answer.cpu().argsort(descending=True, stable=True)[:kept]
        found[family] = tuple(keys[order].tolist())
    return found


def universal(
    encoder: Encoder, images: Tensor, changes: Changes, donors: Tensor, compute: Compute
) -> float:
    """The strongest answer to any of the changes, in [0, 1].

    Frozen encoder; images [N, 3, S, S] that had no part in the screening. `donors` are the images
    of the screening: some changes paste a part of one.
    """
    strongest = [
        answers(encoder, images, family, torch.tensor(keys), donors, compute).max()
        for family, keys in changes.items()
    ]
    return float(torch.stack(strongest).max().clamp(0, 1))


@torch.no_grad()
def answers(
    encoder: Encoder, images: Tensor, family: str, keys: Tensor, donors: Tensor, compute: Compute
) -> Tensor:
    """[K]: the answer to each of the changes with keys int64 [K]."""
    change = PERTURBATIONS.resolve(family)
    plain = concentration(unit_features(encoder, images, compute))
    gathered = []
    for some in keys.to(images.device).split(max(1, images_at_a_time(images) // len(images))):
        changed = change(
            images.repeat(len(some), 1, 1, 1), some.repeat_interleave(len(images)), donors
        )
        features = unit_features(encoder, changed, compute)
        gathered.append(concentration(features.view(len(some), len(images), -1)))
    return (torch.cat(gathered) - plain) / (1 - plain).clamp_min(1e-6)
