"""A transformer's table of positions for another image size: one row a patch, interpolated.

The rows of patches are a square grid, resized by antialiased bicubic as timm does for its own
checkpoints; rows of prefix tokens stay as they are.
"""

from __future__ import annotations

import math

from torch import Size, Tensor

# What timm, torchvision and CLIP call the table.
_NAMES = {"pos_embed", "pos_embedding", "positional_embedding"}


def is_table(key: str) -> bool:
    return key.rpartition(".")[2] in _NAMES


def grids(found: Size, wanted: Size) -> tuple[int, int] | None:
    """Patches a side in both shapes [..., rows, width]; None where one cannot become the other.

    The rows that are no patches are those that `wanted` has beside its largest square: at most the
    class token's, since timm gives register tokens no positions.
    """
    if len(found) != len(wanted) or len(wanted) < 2 or found[-1] != wanted[-1]:
        return None
    if any(length != 1 for length in (*found[:-2], *wanted[:-2])):
        return None
    side = math.isqrt(wanted[-2])
    prefix = wanted[-2] - side**2
    old_side = math.isqrt(max(found[-2] - prefix, 0))
    if side == 0 or old_side == 0 or prefix > 1 or old_side**2 + prefix != found[-2]:
        return None
    return old_side, side


def resampled(table: Tensor, wanted: Size) -> Tensor:
    """`table` [..., rows, width] with the rows of `wanted`, in float32.

    Raises ValueError for shapes that have no `grids`.
    """
    # Imported on use: timm takes 2 s.
    from timm.layers import resample_abs_pos_embed

    sides = grids(table.shape, wanted)
    if sides is None:
        raise ValueError(f"a table {[*table.shape]} cannot become one of {[*wanted]}")
    old, new = sides
    rows = table.float().reshape(1, *table.shape[-2:])
    out = resample_abs_pos_embed(
        rows, new_size=[new, new], old_size=[old, old], num_prefix_tokens=wanted[-2] - new**2
    )
    return out.reshape(wanted)
