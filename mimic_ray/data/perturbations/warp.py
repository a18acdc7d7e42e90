"""A smooth displacement: a random 4 x 4 flow, bicubically enlarged, moves pixels by up to 0.75/32
of the side on average, like the WaNet trigger (arXiv 2102.10369)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.data import pixels


def warp(
    images: Tensor,
    keys: Tensor,
    donors: Tensor,  # noqa: ARG001
    strength: float = 1.0,
) -> Tensor:
    """Warps: a smooth bending of the image.

    `strength` scales the displacement.
    """
    side = images.shape[-1]
    draws = seeds.uniform(keys, 1 + 2 * 4 * 4)
    flow = (2 * draws[:, 1:] - 1).view(-1, 2, 4, 4)
    flow = F.interpolate(flow, (side, side), mode="bicubic", align_corners=True)
    mean_shift = 0.75 / 32 * side * strength * draws[:, 0]
    flow *= (mean_shift / flow.abs().mean(dim=(1, 2, 3)))[:, None, None, None]
    return pixels.warp(images, flow).clamp_(0, 1)
