"""How many images go through a network at a time where no gradient is needed."""

from __future__ import annotations

import torch

# On a CPU, 9 images of 224 pixels: seconds for a ViT-B/16, so that progress and Ctrl-C are prompt.
_CPU_PIXELS = 9 * 224 * 224


def forward_batch(most: int, side: int, device: torch.device) -> int:
    """At most `most` images of `side` pixels, on a CPU fewer if they are large."""
    if device.type != "cpu":
        return most
    return max(1, min(most, _CPU_PIXELS // side**2))
