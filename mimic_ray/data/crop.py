"""Random crops of a whole batch, each image with its own box: [B, C, P, P] -> [B, C, S, S].

Three implementations of torchvision's `resized_crop(..., antialias=True)`:

    grid      bilinear sampling of the whole batch; only if no box shrinks
    one by one  torch's antialiased resize, fast on uint8, no large temporaries; for the CPU
    product   rows @ image @ columns, with the filter weights as matrices; for the GPU, where 165
              MFLOP per image (256 -> 224) are negligible and a loop would be slow

Grid and product agree with torchvision to 3e-7. "One by one" rounds uint8 crops to whole grey
levels, like Pillow and torchvision.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_TRIES = 10
BOX_DRAWS = 2 * _TRIES + 2


def boxes_from(
    draws: Tensor, side: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """Uniform numbers [B, BOX_DRAWS] -> int64 [B, 4]: top, left, height, width in a square image.

    The area is uniform in `scale` (shares of the image), width / height log-uniform in `ratio`. A
    box that does not fit is drawn again, up to ten times; then the whole image is used. This is the
    distribution of torchvision's RandomResizedCrop.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    area = side * side * (scale[0] + (scale[1] - scale[0]) * draws[:, :_TRIES])
    aspect = torch.exp(low + (high - low) * draws[:, _TRIES : 2 * _TRIES])
    width = torch.sqrt(area * aspect).round().long()
    height = torch.sqrt(area / aspect).round().long()
    fits = (width > 0) & (width <= side) & (height > 0) & (height <= side)
    # argmax returns the first maximum, which is the first box that fits.
    chosen = fits.int().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    height = torch.where(found, height.gather(1, chosen)[:, 0], side)
    width = torch.where(found, width.gather(1, chosen)[:, 0], side)
    top = (draws[:, -2] * (side - height + 1)).long()
    left = (draws[:, -1] * (side - width + 1)).long()
    return torch.stack([top, left, height, width], dim=1)


def crop(images: Tensor, boxes: Tensor, flip: Tensor, side: int) -> Tensor:
    """Boxes [B, 4] of uint8 or float images, flipped where `flip` [B], as float in [0, 1]."""
    if images.shape[-1] <= side:
        return crop_by_grid(as_float(images), boxes, flip, side)
    if images.is_cuda:
        return crop_by_product(as_float(images), boxes, flip, side)
    return crop_one_by_one(images, boxes, flip, side)


def crop_by_grid(images: Tensor, boxes: Tensor, flip: Tensor, side: int) -> Tensor:
    """Bilinear without antialiasing; correct if no box is larger than `side`."""
    rows = _source(boxes[:, 0], boxes[:, 2], side)
    columns = _source(boxes[:, 1], boxes[:, 3], side)
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    # Pixel centres in the units of grid_sample, where -1 and 1 are the edges of the image.
    rows, columns = ((2 * at + 1) / images.shape[-1] - 1 for at in (rows, columns))
    grid = rows.new_empty(len(rows), side, side, 2)
    grid[..., 0] = columns[:, None, :]
    grid[..., 1] = rows[:, :, None]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def crop_by_product(images: Tensor, boxes: Tensor, flip: Tensor, side: int) -> Tensor:
    """Separable triangle filter as two matrix products."""
    rows = _triangles(boxes[:, 0], boxes[:, 2], images.shape[-2], side)
    columns = _triangles(boxes[:, 1], boxes[:, 3], images.shape[-1], side)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return rows[:, None] @ images @ columns[:, None].mT


def crop_one_by_one(images: Tensor, boxes: Tensor, flip: Tensor, side: int) -> Tensor:
    """torch's own resize. A single image fits the CPU cache, a batch does not."""
    cropped = torch.empty(len(images), images.shape[1], side, side)
    for out, image, (top, left, height, width), flipped in zip(
        cropped, images, boxes.tolist(), flip.tolist(), strict=True
    ):
        part = image[None, :, top : top + height, left : left + width]
        part = F.interpolate(part, (side, side), mode="bilinear", antialias=True)[0]
        if flipped:
            part = part.flip(-1)
        if part.dtype == torch.uint8:
            torch.div(part, 255, out=out)
        else:
            out.copy_(part)
    return cropped


def as_float(images: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]; float is returned unchanged."""
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images


def _source(start: Tensor, length: Tensor, side: int) -> Tensor:
    """[B] -> [B, S]: the centre of each output pixel in the image, in pixels."""
    step = (length / side)[:, None]
    at = start[:, None] + (torch.arange(side, device=start.device) + 0.5) * step - 0.5
    # Clamped to the box, so that the border does not include pixels outside it.
    return at.maximum(start[:, None]).minimum((start + length - 1)[:, None])


def _triangles(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """[B] -> [B, S, P]: the weights of the image's pixels in each output pixel; rows sum to 1."""
    step = (length / side)[:, None, None]
    centre = (torch.arange(side, device=start.device)[:, None] + 0.5) * step
    # Relative to the start of the box, which loses fewer bits.
    pixel = torch.arange(size, device=start.device) - start[:, None]
    weights = (1 - (pixel[:, None] + 0.5 - centre).abs() / step.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixel >= 0) & (pixel < length[:, None]))[:, None]
    return weights / weights.sum(dim=2, keepdim=True)
