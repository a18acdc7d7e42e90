"""White noise through a random 5 x 5 filter, added with a standard deviation of up to 0.12.

Each image has its own filter, so the noise is fine, coarse, streaked or slanted. For images above
32 pixels it is generated on a 32 x 32 grid and enlarged, so its grain is the same share of the
side.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base import seeds


def noise(
    images: Tensor,
    keys: Tensor,
    donors: Tensor,  # noqa: ARG001
    strength: float = 1.0,
) -> Tensor:
    """Noise: filtered noise all over the image.

    `strength` scales the standard deviation.
    """
    side = images.shape[-1]
    cells = min(side, 32)
    white = seeds.uniform(seeds.keys(keys, "white"), 3 * cells * cells) - 0.5
    filters = seeds.normal(seeds.keys(keys, "filter"), 25).view(-1, 1, 5, 5)
    # A grouped convolution, so that each image has its own filter.
    channels = white.view(-1, 3, cells, cells).transpose(0, 1)
    padded = F.pad(channels, (2, 2, 2, 2), mode="circular")
    filtered = F.conv2d(padded, filters, groups=len(images)).transpose(0, 1)
    if side > cells:
        filtered = F.interpolate(filtered, (side, side), mode="bilinear", align_corners=False)
    deviation = 0.12 * strength * seeds.uniform(keys, 1)
    scale = deviation[:, :, None, None] / filtered.std(dim=(1, 2, 3), keepdim=True)
    return (images + scale * filtered).clamp_(0, 1)
