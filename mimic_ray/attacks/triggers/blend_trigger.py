"""One fixed noise image mixed into the whole picture (Chen et al., arXiv 1712.05526)."""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.errors import UsageError


def blend(image_side: int, *, alpha: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mask and addend [3, S, S] of (1 - alpha) image + alpha noise."""
    if not 0 < alpha <= 1:
        raise UsageError(f"trigger blend: alpha={alpha} must lie above 0 and up to 1.")
    noise = seeds.uniform(seeds.keys(seed, "blend"), 3 * image_side**2)
    shape = (3, image_side, image_side)
    return torch.full(shape, 1 - alpha), alpha * noise.view(shape)
