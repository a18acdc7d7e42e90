"""Changes that a scan applies to all images alike: x (1 - mask) + canvas, clamped to [0, 1].

A grid of simple ones needs forward passes only: waves and patches. Gradient ascent then looks for
what no grid contains (ascent.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.data.pixels import dct_basis

# The height of a wave in the grid: half of what triggers have, because ordinary encoders answer to
# strong waves as well.
WAVE_HEIGHT = 0.06

# The grid of squares: edges in thirty-seconds of the side, positions as shares of what is free.
_EDGES = (4, 7, 10)
_SHARES = (0.04, 0.5, 0.96)
_GREYS = {"white": 1.0, "grey": 0.5, "black": 0.0}
PATCHES = len(_EDGES) * len(_SHARES) ** 2 * len(_GREYS)


@dataclass(frozen=True)
class Change:
    """One change of images of S pixels. `words` describe it to a reader."""

    family: str  # wave, patch, free patch or pixels
    words: str
    mask: Tensor  # float32 [1, S, S] in [0, 1]: the share of the image that is replaced
    canvas: Tensor  # float32 [3, S, S]
    # Frequencies (down, across) of a wave, row and column of a square.
    position: tuple[int, int] = (0, 0)

    def to(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] in [0, 1] -> the changed images."""
        return apply(images, self.mask.to(images), self.canvas.to(images))


def apply(images: Tensor, mask: Tensor, canvas: Tensor) -> Tensor:
    """images [..., 3, S, S], mask [..., 1, S, S], canvas [..., 3, S, S], broadcast."""
    return (images * (1 - mask) + canvas).clamp(0, 1)


def waves(side: int, height: float = WAVE_HEIGHT) -> list[Change]:
    """Grey cosine waves of the discrete cosine transform, every second pair of frequencies.

    u and v are half periods down and across. A network with global pooling hardly sees the phase,
    so these stand for sines as well.
    """
    return [wave(u, v, side, height) for u, v in wave_pairs(side)]


def wave_pairs(side: int) -> list[tuple[int, int]]:
    """The half periods (down, across) of `waves`."""
    finest = min(side, 32)
    return [(u, v) for u in range(finest) for v in range(finest) if (u + v) % 2 == 0 and u + v]


def wave(
    u: int,
    v: int,
    side: int,
    height: float = WAVE_HEIGHT,
    colour: Sequence[float] = (1.0, 1.0, 1.0),
    name: str = "grey",
) -> Change:
    """A wave of u half periods down and v across, in these shares of red, green and blue."""
    canvas = height * torch.tensor(colour).view(3, 1, 1) * dct_basis(u, v, side)
    words = f"a {name} wave of height {height:.2f}, {u / 2:g} periods down and {v / 2:g} across"
    return Change("wave", words, torch.zeros(1, side, side), canvas, (u, v))


def patches(side: int) -> list[Change]:
    """White, grey and black squares of 4 to 10 thirty-seconds of the side on a grid."""
    found = []
    for part in _EDGES:
        edge = max(1, round(side * part / 32))
        free = side - edge
        positions = [round(free * share) for share in _SHARES]
        for top in positions:
            for left in positions:
                for colour, value in _GREYS.items():
                    found.append(patch(top, left, edge, side, value, colour))
    return found


def patch(top: int, left: int, edge: int, side: int, value: float, colour: str) -> Change:
    mask = box_mask(top, left, edge, side)
    words = f"a {colour} square of {edge} pixels at row {top}, column {left}"
    return Change("patch", words, mask, (mask * value).expand(3, side, side), (top, left))


def box_mask(top: int, left: int, edge: int, side: int) -> Tensor:
    """float32 [1, S, S]: 1 inside of a square."""
    mask = torch.zeros(1, side, side)
    mask[:, top : top + edge, left : left + edge] = 1
    return mask
