"""Views: the augmented images that encoders get, computed for whole batches.

All random choices come from the key of an image, so the result does not depend on the batch. Images
are float [B, 3, H, W] in [0, 1] unless a docstring says uint8; keys are int64 [B].
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.data.colour_jitter import JITTER_DRAWS, Jitter, apply_, arrange, jitter_from
from mimic_ray.data.crop import BOX_DRAWS, as_float, boxes_from, crop

# On a CPU, the number of pixels to process at a time, which fits the cache of a core.
_PIXELS_AT_A_TIME = 1 << 16


class SimclrParameters(NamedTuple):
    """The random parameters of `simclr` for B images."""

    boxes: Tensor  # int64 [B, 4]: top, left, height, width in the source image
    flip: Tensor  # bool [B]
    jitter: Jitter


def to_float(pixels: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] -> float32 in [0, 1]."""
    return as_float(pixels)


def simclr(images: Tensor, keys: Tensor, *, side: int) -> Tensor:
    """SimCLR's view (arXiv 2002.05709, without blur), with the settings of the MIMIC authors.

    Crops (8 to 100 % of the area, ratio 3/4 to 4/3) to `side`, flips with probability 0.5, jitters
    colours by (0.4, 0.4, 0.4, 0.1) with 0.8, and converts to grey with 0.2. Takes square images,
    float or uint8 (which is faster on a CPU if they shrink); returns float32 in [0, 1]. Parameters
    are drawn on the device of the keys.
    """
    height, width = images.shape[-2:]
    if height != width:
        raise ValueError(f"simclr takes square images, got {height}x{width}")
    return apply_simclr(images, draw_simclr(keys, width), side)


def draw_simclr(keys: Tensor, image_side: int) -> SimclrParameters:
    """The parameters of `simclr` for images of `image_side` pixels."""
    # One call for all numbers, because the overhead of calls dominates small batches.
    draws = seeds.uniform(seeds.keys(keys, "simclr"), 1 + BOX_DRAWS + JITTER_DRAWS)
    flip, for_boxes, for_jitter = draws.split([1, BOX_DRAWS, JITTER_DRAWS], dim=1)
    return SimclrParameters(
        boxes=boxes_from(for_boxes, image_side, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)),
        flip=flip[:, 0] < 0.5,
        jitter=jitter_from(for_jitter, (0.4, 0.4, 0.4, 0.1), jittered=0.8, grey=0.2),
    )


def apply_simclr(images: Tensor, parameters: SimclrParameters, side: int) -> Tensor:
    """uint8 or float [B, 3, P, P] -> float32 [B, 3, side, side]; the parameters are for side P."""
    boxes, flip = parameters.boxes.to(images.device), parameters.flip.to(images.device)
    slots = arrange(parameters.jitter.to(images.device))
    if images.is_cuda:
        return apply_(crop(images, boxes, flip, side), slots)
    views = torch.empty(len(images), 3, side, side)
    step = max(1, _PIXELS_AT_A_TIME // side**2)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        views[part] = apply_(crop(images[part], boxes[part], flip[part], side), slots.rows(part))
    return views


def flip_and_shift(
    images: Tensor, keys: Tensor, *, shift: float = 3 / 32, side: int | None = None
) -> Tensor:
    """Flips with probability 0.5 and shifts by whole pixels, up to `shift` of the side each way.

    Borders are filled by reflection, which has the statistics of the image. Black or repeated
    border pixels would give the encoder an edge or stripes that no clean image has. Images of
    another size than `side` are first resized by `centre`.
    """
    if side is not None:
        images = centre(images, side)
    height, width = images.shape[-2:]
    draws = seeds.uniform(keys.to(images.device), 3)
    rows = _shifted_positions(height, shift, draws[:, 0])
    columns = _shifted_positions(width, shift, draws[:, 1])
    columns = torch.where(draws[:, 2:] < 0.5, columns.flip(1), columns)
    # One gather over flat positions, with the same cost for any mixture of flips and shifts.
    taken = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    flat = images.flatten(2).gather(2, taken[:, None].expand(-1, images.shape[1], -1))
    return flat.view_as(images)


def _shifted_positions(size: int, shift: float, draw: Tensor) -> Tensor:
    """[B] -> [B, size]: the source of each output position, reflected into the image."""
    most = round(shift * size)
    offset = (draw * (2 * most + 1)).long() - most
    period = max(1, 2 * (size - 1))
    position = (torch.arange(size, device=draw.device) + offset[:, None]).remainder(period)
    return torch.minimum(position, period - position)


def centre(images: Tensor, side: int) -> Tensor:
    """The deterministic test view [B, 3, side, side] of square images.

    Images up to 8/7 of the side are cropped (256 -> 224, the usual test view of encoders for 224
    pixels); others are resized with antialiasing.
    """
    size = images.shape[-1]
    if images.shape[-2:] == (side, side):
        return images
    if side < size and 7 * size <= 8 * side:
        margin = (size - side) // 2
        return images[..., margin : margin + side, margin : margin + side].contiguous()
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)
