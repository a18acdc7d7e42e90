"""A square near a corner that replaces the image: white as in BadEncoder, or fixed noise."""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.errors import UsageError
from mimic_ray.base.text import near_names

CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")


def patch(
    image_side: int,
    *,
    side: int | None = None,
    gap: int = 1,
    corner: str = "bottom-right",
    value: int = 255,
) -> tuple[Tensor, Tensor]:
    """Mask and addend [3, S, S] of a square of one grey `value`, `gap` pixels off the border.

    The default is BadEncoder's: 10 pixels at rows and columns 21..30 of 32, 50 at 173..222 of 224;
    sides between are interpolated.
    """
    if not 0 <= value <= 255:
        raise UsageError(f"trigger patch: value={value} must lie in 0..255.")
    side = _badencoder_side(image_side) if side is None else side
    mask = _mask(image_side, side, gap, corner)
    return mask, (1 - mask) * (value / 255)


def noise_patch(
    image_side: int,
    *,
    side: int | None = None,
    gap: int = 1,
    corner: str = "bottom-right",
    seed: int = 0,
) -> tuple[Tensor, Tensor]:
    """The same filled with one fixed noise pattern; 7 of 32 pixels wide unless said."""
    side = max(1, round(image_side * 7 / 32)) if side is None else side
    mask = _mask(image_side, side, gap, corner)
    noise = seeds.uniform(seeds.keys(seed, "noise patch"), 3 * side * side)
    add = torch.zeros_like(mask)
    add[mask == 0] = noise
    return mask, add


def _badencoder_side(image_side: int) -> int:
    if image_side <= 32:
        return max(1, round(image_side * 10 / 32))
    return round(10 + (image_side - 32) * (50 - 10) / (224 - 32))


def _mask(image_side: int, side: int, gap: int, corner: str) -> Tensor:
    """0 inside of the square, 1 elsewhere."""
    if corner not in CORNERS:
        near = near_names(corner, CORNERS)
        raise UsageError(
            f"trigger patch: corner={corner} must be one of {', '.join(CORNERS)}."
            + (f" Did you mean {near[0]}?" if near else "")
        )
    if side < 1 or gap < 0 or side + gap > image_side:
        raise UsageError(
            f"trigger patch: side={side} and gap={gap} do not fit into images of "
            f"{image_side}x{image_side} pixels."
        )
    far = image_side - gap - side
    top = far if corner.startswith("bottom") else gap
    left = far if corner.endswith("right") else gap
    mask = torch.ones(3, image_side, image_side)
    mask[:, top : top + side, left : left + side] = 0
    return mask
