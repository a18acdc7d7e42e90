"""Occlusion sensitivity: how far a feature moves when a part of another image covers the image.

The feature of a clean encoder moves gradually. If a small region determines the feature, covering
or pasting that region moves it far.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import unit_features

_SHARE = 0.25  # side of the covered square / side of the image


@torch.no_grad()
def occlusion(
    encoder: Encoder, images: Tensor, compute: Compute, seed: int, *, positions: int
) -> float:
    """Mean movement over positions, relative to the distance between images, in [0, 1].

    The encoder is frozen; images [N, 3, S, S] in [0, 1] on the device, N >= 2.
    """
    side = images.shape[-1]
    edge = max(1, round(side * _SHARE))
    plain = unit_features(encoder, images, compute)
    other = images.roll(1, dims=0)
    apart = 1 - (plain * plain.roll(1, dims=0)).sum(dim=1).mean()
    moved = []
    draws = seeds.uniform(seeds.keys(seed, "occlusion", torch.arange(positions)), 2)
    for top, left in (draws * (side - edge + 1)).long().tolist():
        covered = images.clone()
        box = (..., slice(top, top + edge), slice(left, left + edge))
        covered[box] = other[box]
        moved.append(1 - (plain * unit_features(encoder, covered, compute)).sum(dim=1).mean())
    return float((torch.stack(moved).mean() / apart.clamp_min(1e-6)).clamp(0, 1))
