"""One fixed noise image mixed into the whole picture (Chen et al., arXiv 1712.05526)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.member_settings import setting


def blend(
    image_side: int,
    *,
    alpha: Annotated[float, setting("Share of the noise image.", gt=0, le=1)] = 0.2,
    seed: Annotated[int, setting("Of the noise.")] = 0,
) -> tuple[Tensor, Tensor]:
    """One fixed noise image, mixed into the whole picture.

    Mask and addend [3, S, S] of (1 - alpha) image + alpha noise.
    """
    noise = seeds.uniform(seeds.keys(seed, "blend"), 3 * image_side**2)
    shape = (3, image_side, image_side)
    return torch.full(shape, 1 - alpha), alpha * noise.view(shape)
