"""A square near a corner that replaces the image: white as in BadEncoder, or fixed noise."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.errors import UsageError
from mimic_ray.base.member_settings import setting

Corner = Annotated[
    Literal["top-left", "top-right", "bottom-left", "bottom-right"], setting("Nearest corner.")
]
Gap = Annotated[int, setting("Distance from the border.", unit="pixels", ge=0)]


def patch(
    image_side: int,
    *,
    side: Annotated[
        int | None, setting("Of the square. Default: as BadEncoder's.", unit="pixels", ge=1)
    ] = None,
    gap: Gap = 1,
    corner: Corner = "bottom-right",
    value: Annotated[int, setting("Grey level.", ge=0, le=255)] = 255,
) -> tuple[Tensor, Tensor]:
    """A square of one grey level near a corner.

    Returns mask and addend [3, S, S]. The default is BadEncoder's: 10 pixels at rows and columns
    21..30 of 32, 50 at 173..222 of 224; sides between are interpolated. Raises UsageError for a
    square that does not fit.
    """
    side = _badencoder_side(image_side) if side is None else side
    mask = _mask(image_side, side, gap, corner)
    return mask, (1 - mask) * (value / 255)


def noise_patch(
    image_side: int,
    *,
    side: Annotated[
        int | None, setting("Of the square. Default: 7/32 of the image.", unit="pixels", ge=1)
    ] = None,
    gap: Gap = 1,
    corner: Corner = "bottom-right",
    seed: Annotated[int, setting("Of the noise.")] = 0,
) -> tuple[Tensor, Tensor]:
    """A square of one fixed noise pattern near a corner.

    Returns mask and addend [3, S, S]. Raises UsageError for a square that does not fit.
    """
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
    if side + gap > image_side:
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
