"""A plain grey sine added to the image, the SIG trigger (Barni et al., arXiv 1902.11237)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from mimic_ray.base.member_settings import setting
from mimic_ray.data.pixels import plane_waves


def sine(
    image_side: int,
    *,
    periods: Annotated[float, setting("Waves across the image.")] = 6.0,
    amplitude: Annotated[float, setting("Height of the wave, in 0..1.")] = 0.12,
    axis: Annotated[Literal["x", "y"], setting("x: upright stripes; y: level ones.")] = "x",
) -> tuple[Tensor, Tensor]:
    """A grey sine wave added to the whole image. Returns mask and addend [3, S, S]."""
    number, none = torch.tensor([periods]), torch.zeros(1)
    across, down = (number, none) if axis == "x" else (none, number)
    add = amplitude * plane_waves(across, down, none, image_side).expand(3, -1, -1)
    return torch.ones_like(add), add
