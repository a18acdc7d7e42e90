"""A rectangle pasted at any position: sides 3/32 to 12/32 of the image, 70 % of them squares.

Filled with a colour, a corner of the colour cube (black, white, red ...), noise, blocks of an
eighth of the side, or the same part of another image, in a fifth of the cases each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.data import pixels


def patch(images: Tensor, keys: Tensor, donors: Tensor, strength: float = 1.0) -> Tensor:
    """Patches: a small area pasted over the image.

    `strength` scales the sides of the rectangle, up to the whole image.
    """
    side = images.shape[-1]
    draws = seeds.uniform(keys, 6)
    edges = (side / 32 * strength * (3 + 9 * draws[:, :2])).round()
    # At least one pixel, so that every image is perturbed.
    edges = edges.clamp(min=1 if strength > 0 else 0, max=side).long()
    height, width = edges[:, 0], torch.where(draws[:, 2] < 0.7, edges[:, 0], edges[:, 1])
    top = (draws[:, 3] * (side - height + 1)).long()
    left = (draws[:, 4] * (side - width + 1)).long()
    fill = _fill((draws[:, 5] * len(_FILLS)).long(), seeds.keys(keys, "fill"), donors)
    return pixels.paste(images, fill, pixels.boxes_mask(top, left, height, width, side))


def _fill(kind: Tensor, keys: Tensor, donors: Tensor) -> Tensor:
    """The content of the rectangles, as whole images [B, 3, S, S]."""
    fill = donors.new_empty(len(keys), *donors.shape[1:])
    for number, make in enumerate(_FILLS):
        rows = torch.nonzero(kind == number)[:, 0]
        if len(rows):
            fill[rows] = make(keys[rows], donors)
    return fill


def _colour(keys: Tensor, donors: Tensor) -> Tensor:  # noqa: ARG001
    return seeds.uniform(keys, 3)[:, :, None, None]


def _corner_colour(keys: Tensor, donors: Tensor) -> Tensor:  # noqa: ARG001
    return seeds.uniform(keys, 3)[:, :, None, None].round()


def _noise(keys: Tensor, donors: Tensor) -> Tensor:
    return pixels.white_noise(keys, donors.shape[-1])


def _blocks(keys: Tensor, donors: Tensor) -> Tensor:
    return pixels.block_noise(keys, donors.shape[-1])


def _donor(keys: Tensor, donors: Tensor) -> Tensor:
    return donors[(seeds.uniform(keys, 1)[:, 0] * len(donors)).long()]


_FILLS = (_colour, _corner_colour, _noise, _blocks, _donor)
