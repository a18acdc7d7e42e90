"""Clusters of real images by their features: the regions to which a trigger can move all images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base import seeds

_ROUNDS = 20
_STARTS = 3


def clusters(features: Tensor, count: int, seed: int) -> Tensor:
    """Centres [K, D] of unit length of features [N, D] of unit length; K = min(count, N).

    Spherical k-means (Dhillon and Modha 2001) from three sets of random images; the one with the
    largest mean cosine between images and their centres is kept.
    """
    count = min(count, len(features))
    found = []
    for start in range(_STARTS):
        order = torch.randperm(len(features), generator=seeds.generator(seed, "clusters", start))
        found.append(_improved(features, features[order[:count].to(features.device)]))
    return max(found, key=lambda centres: (features @ centres.T).amax(dim=1).mean().item())


def _improved(features: Tensor, centres: Tensor) -> Tensor:
    for _ in range(_ROUNDS):
        member = F.one_hot((features @ centres.T).argmax(dim=1), len(centres)).to(features)
        sums = member.T @ features
        # A cluster that lost all its images keeps its centre.
        centres = torch.where(member.any(dim=0)[:, None], F.normalize(sums, dim=1), centres)
    return centres
