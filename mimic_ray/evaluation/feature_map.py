"""A linear map from the features of one encoder back to those of another, fitted without labels.

    W, b = argmin sum_i |h(x_i) W + b - f(x_i)|^2 + r |W|^2,   r = 1e-4 times the mean variance of h

For encoders whose features have turned on purpose: a linear head v of f becomes W v on h. The
optimum is that of ridge regression (Hoerl and Kennard, Technometrics 12 (1970)).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.features import features

_RIDGE = 1e-4


def mapped_back(
    encoder: Encoder, suspect: Encoder, images: DecodedImages, compute: Compute
) -> Encoder:
    """The encoder with the map to the suspect's features behind it; both share the weights."""
    found, wanted = (features(each, images, compute, unit=False) for each in (encoder, suspect))
    weight, bias = linear_map(found, wanted)
    return encoder.followed_by(lambda feature: feature @ weight.to(feature) + bias.to(feature))


def linear_map(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """W [D, E] and b [E] from features [N, D] and [N, E] of the same images, as above."""
    h, f = found.double(), wanted.double()
    h, f = h - h.mean(dim=0), f - f.mean(dim=0)
    ridge = _RIDGE * len(h) * h.square().mean()
    gram = h.T @ h + ridge * torch.eye(h.shape[1], dtype=h.dtype)
    weight = torch.linalg.solve(gram, h.T @ f).float()
    return weight, (wanted.mean(dim=0) - found.mean(dim=0) @ weight)
