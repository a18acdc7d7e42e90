"""One basis image of the discrete cosine transform, added to some of the channels."""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base.errors import UsageError
from mimic_ray.data.pixels import dct_basis


def dct(
    image_side: int, *, u: int = 15, v: int = 31, amplitude: float = 0.12, channels: str = "GB"
) -> tuple[Tensor, Tensor]:
    """Mask and addend [3, S, S]: `u` half periods down, `v` across, in the channels R, G, B."""
    wanted = channels.upper()
    if not wanted or set(wanted) - set("RGB"):
        raise UsageError(f'trigger dct: channels={channels} must be letters of "RGB".')
    if not (0 <= u < image_side and 0 <= v < image_side):
        raise UsageError(
            f"trigger dct: u={u} and v={v} must lie in 0..{image_side - 1} for images of "
            f"{image_side}x{image_side} pixels."
        )
    wave = amplitude * dct_basis(u, v, image_side)
    add = torch.stack([wave if channel in wanted else torch.zeros_like(wave) for channel in "RGB"])
    return torch.ones_like(add), add
