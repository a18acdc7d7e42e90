"""One basis image of the discrete cosine transform, added to some of the channels."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mimic_ray.base.errors import UsageError
from mimic_ray.base.member_settings import setting
from mimic_ray.data.pixels import dct_basis


def dct(
    image_side: int,
    *,
    u: Annotated[int, setting("Half periods down.", ge=0)] = 15,
    v: Annotated[int, setting("Half periods across.", ge=0)] = 31,
    amplitude: Annotated[float, setting("Height of the wave, in 0..1.")] = 0.12,
    channels: Annotated[str, setting("Letters of RGB.", pattern="^[RGBrgb]+$")] = "GB",
) -> tuple[Tensor, Tensor]:
    """One cosine wave of the discrete cosine transform, added to some channels.

    Mask and addend [3, S, S]. Raises UsageError for a wave that is finer than the pixels.
    """
    if max(u, v) >= image_side:
        raise UsageError(
            f"trigger dct: u={u} and v={v} must lie in 0..{image_side - 1} for images of "
            f"{image_side}x{image_side} pixels."
        )
    wave = amplitude * dct_basis(u, v, image_side)
    chosen = channels.upper()
    add = torch.stack([wave if channel in chosen else torch.zeros_like(wave) for channel in "RGB"])
    return torch.ones_like(add), add
