"""Operations on pixels, used by perturbations with random and by triggers with fixed parameters.

Images are float [B, 3, S, S] in [0, 1]. Sizes are shares of the side, or cells or periods per
image, so that they have the same meaning at 32 and at 224 pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base import seeds

# White noise has a grain of one pixel, or of the share of the side that one pixel has at this size.
_FINE_CELLS = 32


def boxes_mask(top: Tensor, left: Tensor, height: Tensor, width: Tensor, side: int) -> Tensor:
    """Whole numbers of pixels [B] -> bool [B, 1, S, S], true inside each box."""
    position = torch.arange(side, device=top.device)
    rows = (position >= top[:, None]) & (position < (top + height)[:, None])
    columns = (position >= left[:, None]) & (position < (left + width)[:, None])
    return rows[:, None, :, None] & columns[:, None, None, :]


def paste(images: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """`fill` where the bool `mask` is true, the image elsewhere."""
    return torch.where(mask, fill, images)


def blend(images: Tensor, other: Tensor, alpha: Tensor | float) -> Tensor:
    """(1 - alpha) image + alpha other, alpha [B, 1, 1, 1] or a number."""
    return images + alpha * (other - images)


def plane_waves(across: Tensor, down: Tensor, phase: Tensor, side: int) -> Tensor:
    """sin(2 pi (across x + down y) / S + phase): [B] periods per image, radians -> [B, S, S]."""
    position = torch.arange(side, device=across.device) * (2 * math.pi / side)
    rows = down[:, None] * position + phase[:, None]
    columns = across[:, None] * position
    return torch.sin(rows[:, :, None] + columns[:, None, :])


def dct_basis(u: int, v: int, side: int) -> Tensor:
    """[S, S]: cos(pi (2 y + 1) u / 2 S) cos(pi (2 x + 1) v / 2 S), the DCT-II basis image.

    u and v count half periods, down and across; the largest value is 1 or just below.
    """
    position = torch.arange(side, dtype=torch.float64)
    down, across = (torch.cos(math.pi * (2 * position + 1) * k / (2 * side)) for k in (u, v))
    return torch.outer(down, across).to(torch.float32)


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Moves pixels: each is sampled bilinearly at an offset `flow` [B, 2, S, S] (0 across, 1 down).

    Positions outside the image give the border pixels.
    """
    side = images.shape[-1]
    # Pixel centres in the units of grid_sample, where -1 and 1 are the edges of the image.
    centres = (2 * torch.arange(side, device=images.device) + 1) / side - 1
    grid = flow.permute(0, 2, 3, 1) * (2 / side)
    grid[..., 0] += centres
    grid[..., 1] += centres[:, None]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def enlarge(cells: Tensor, side: int) -> Tensor:
    """[..., N, N] -> [..., S, S] in constant blocks, whose sizes differ by a pixel if N does not
    divide S."""
    taken = torch.arange(side, device=cells.device) * cells.shape[-1] // side
    return cells[..., taken[:, None], taken]


def white_noise(keys: Tensor, side: int) -> Tensor:
    """Independent uniform values [B, 3, S, S] in [0, 1).

    Above 32 pixels half of the images have a grain of S / 32 pixels, like the enlarged noise of a
    32-pixel image, and the other half have a grain of one pixel.
    """
    if side <= _FINE_CELLS:
        return _uniform_cells(keys, side)
    coarse = seeds.uniform(seeds.keys(keys, "grain"), 1)[:, 0] < 0.5
    noise = torch.empty(len(keys), 3, side, side, device=keys.device)
    for chosen, cells in ((coarse, _FINE_CELLS), (~coarse, side)):
        rows = torch.nonzero(chosen)[:, 0]
        noise[rows] = enlarge(_uniform_cells(keys[rows], cells), side)
    return noise


def block_noise(keys: Tensor, side: int, cells: int = 8) -> Tensor:
    """Uniform colours in `cells` x `cells` blocks: [B, 3, S, S]."""
    return enlarge(_uniform_cells(keys, cells), side)


def smooth_noise(keys: Tensor, side: int, cells: int = 6) -> Tensor:
    """Uniform colours on a `cells` x `cells` grid, bilinearly enlarged: [B, 3, S, S] in [0, 1)."""
    grid = _uniform_cells(keys, cells)
    return F.interpolate(grid, (side, side), mode="bilinear", align_corners=False)


def _uniform_cells(keys: Tensor, cells: int) -> Tensor:
    return seeds.uniform(keys, 3 * cells * cells).view(-1, 3, cells, cells)
