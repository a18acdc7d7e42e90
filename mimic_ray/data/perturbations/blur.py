"""Blurred or sharpened: image + s (blurred - image), s uniform in -0.8 to 1.2.

At 32 pixels the blur is the 3 x 3 binomial filter. At S pixels it is the binomial filter of order
2 (S / 32)^2, whose width is the same share of the side.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.data import pixels


def blur(
    images: Tensor,
    keys: Tensor,
    donors: Tensor,  # noqa: ARG001
    strength: float = 1.0,
) -> Tensor:
    """Blur and sharpening.

    `strength` scales s.
    """
    amount = strength * (2 * seeds.uniform(keys, 1) - 0.8)[:, :, None, None]
    filter_matrix = binomial_matrix(images.shape[-1]).to(images.device)
    blurred = filter_matrix @ images @ filter_matrix.T
    return pixels.blend(images, blurred, amount).clamp_(0, 1)


def binomial_matrix(side: int) -> Tensor:
    """[S, S]: row i is the filter around pixel i; weights beyond the border go to its pixel.

    Two matrix products are cheaper than a convolution with a wide filter.
    """
    reach = max(1, round((side / 32) ** 2))
    taps = torch.tensor([math.comb(2 * reach, k) / 4**reach for k in range(2 * reach + 1)])
    rows = torch.arange(side)[:, None]
    columns = (rows + torch.arange(-reach, reach + 1)).clamp(0, side - 1)
    return torch.zeros(side, side).index_put_(
        (rows.expand_as(columns), columns), taps.expand_as(columns), accumulate=True
    )
