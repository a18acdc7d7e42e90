"""The whole image mixed with something else: up to 35 % of white noise, of smooth noise (a 6 x 6
grid of colours, enlarged) or of another image, a third each."""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.data import pixels


def blend(images: Tensor, keys: Tensor, donors: Tensor, strength: float = 1.0) -> Tensor:
    """Blends: a pattern or another image mixed into the whole image.

    `strength` scales the share of the other image, up to 1.
    """
    side = images.shape[-1]
    draws = seeds.uniform(keys, 3)
    alpha = (0.35 * strength * draws[:, 0]).clamp(max=1)
    kind = (draws[:, 1] * 3).long()
    other = donors[(draws[:, 2] * len(donors)).long()]
    for number, make in ((0, pixels.white_noise), (1, pixels.smooth_noise)):
        rows = torch.nonzero(kind == number)[:, 0]
        if len(rows):
            other[rows] = make(seeds.keys(keys[rows], "noise"), side)
    return pixels.blend(images, other, alpha[:, None, None, None]).clamp_(0, 1)
