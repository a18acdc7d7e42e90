"""Decoded images in memory, with the interface through which attacks and scores read them."""

from __future__ import annotations

import torch


class ImagesInMemory:
    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        return self.images[indices]
