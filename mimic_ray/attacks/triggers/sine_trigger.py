"""A plain grey sine added to the image, the SIG trigger (Barni et al., arXiv 1902.11237)."""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base.errors import UsageError
from mimic_ray.data.pixels import plane_waves


def sine(
    image_side: int, *, periods: float = 6.0, amplitude: float = 0.12, axis: str = "x"
) -> tuple[Tensor, Tensor]:
    """Mask and addend [3, S, S]: `periods` waves along x (upright stripes) or y."""
    if axis not in ("x", "y"):
        raise UsageError(f"trigger sine: axis={axis} must be x or y.")
    number, none = torch.tensor([periods]), torch.zeros(1)
    across, down = (number, none) if axis == "x" else (none, number)
    add = amplitude * plane_waves(across, down, none, image_side).expand(3, -1, -1)
    return torch.ones_like(add), add
