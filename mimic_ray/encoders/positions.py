"""Interpolates the position embeddings of a transformer to another image size.

The table has one row per patch. These rows form a square grid, which is resized by antialiased
bicubic interpolation, as timm does for its own checkpoints; rows of prefix tokens do not change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# The names of the table in timm, torchvision and CLIP.
_NAMES = {"pos_embed", "pos_embedding", "positional_embedding"}


def is_table(key: str) -> bool:
    return key.rpartition(".")[2] in _NAMES


def grids(found: Sequence[int], expected: Sequence[int]) -> tuple[int, int] | None:
    """Patches per side in both shapes [..., rows, width]; None if one cannot become the other.

    Rows beyond the largest square in `expected` belong to prefix tokens: at most the class token
    and DeiT's distillation token, because register tokens have no positions.
    """
    if len(found) != len(expected) or len(expected) < 2 or found[-1] != expected[-1]:
        return None
    if any(length != 1 for length in (*found[:-2], *expected[:-2])):
        return None
    side = math.isqrt(expected[-2])
    prefix = expected[-2] - side**2
    old_side = math.isqrt(max(found[-2] - prefix, 0))
    if side == 0 or old_side == 0 or prefix > 2 or old_side**2 + prefix != found[-2]:
        return None
    return old_side, side


def resampled(table: Tensor, expected: Sequence[int]) -> Tensor:
    """`table` [..., rows, width] with the rows of `expected`, in float32.

    Raises ValueError for shapes that have no `grids`.
    """
    # Imported on use, because timm takes 2 s.
    from timm.layers import resample_abs_pos_embed

    sides = grids(table.shape, expected)
    if sides is None:
        raise ValueError(f"a table {[*table.shape]} cannot become one of {[*expected]}")
    old, new = sides
    rows = table.float().reshape(1, *table.shape[-2:])
    out = resample_abs_pos_embed(
        rows, new_size=[new, new], old_size=[old, old], num_prefix_tokens=expected[-2] - new**2
    )
    return out.reshape(expected)
