"""Synthetic images for benchmarks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class SyntheticImages:
    """`count` decoded images, at most `distinct` of them different, to save memory."""

    def __init__(self, count: int, side: int, distinct: int = 256) -> None:
        self._count = count
        self._pixels = synthetic_pixels(min(count, distinct), side)

    def __len__(self) -> int:
        return self._count

    def gather(self, indices: Tensor) -> Tensor:
        """int64 [B] -> uint8 [B, 3, S, S]."""
        return self._pixels.index_select(0, indices % len(self._pixels))


def synthetic_pixels(count: int, side: int) -> Tensor:
    """uint8 [N, 3, S, S] with about the detail of photographs: noise whose amplitude halves each
    time the resolution doubles. Decoders and encoders would be faster on flat images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.full((count, 3, side, side), 0.5)
    for octave in range(1, side.bit_length()):
        grid = torch.rand(count, 3, 1 << octave, 1 << octave, generator=generator) - 0.5
        images += F.interpolate(grid, (side, side), mode="bilinear") / 2 ** (octave - 1)
    return (255 * images.clamp(0, 1)).to(torch.uint8)
