"""Encoders at another image size: `vit_b16@384` is vit_b16 for images of 384 x 384 pixels.

A convolutional network accepts any size. A transformer has a table with one row per patch, whose
length depends on the size; positions.py interpolates the table of a checkpoint for another size.
"""

from __future__ import annotations

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.encoder_name import without_statistics

SIGN = "@"

# Below this, the maps of all families have a single position, and perturbations are below a pixel.
SMALLEST = 8


def split(name: str) -> tuple[str, int | None]:
    """("vit_b16", 384) of "vit_b16@384", ("vit_b16", None) of "vit_b16".

    Raises UsageError if the part after the sign is not a size.
    """
    base, sign, size = name.rpartition(SIGN)
    if not sign:
        return name, None
    if not (size.isascii() and size.isdigit() and len(size) <= 5 and int(size) >= SMALLEST):
        raise UsageError(
            f'"{size}" in {name} is not an image size: give the side in pixels after {SIGN}, '
            f"{SMALLEST} or more, as in {base or 'vit_b16'}{SIGN}224."
        )
    return base, int(size)


def is_stated(name: str) -> bool:
    """Whether a name includes a size."""
    base = without_statistics(name)
    return base.rpartition(SIGN)[2].isdigit() and SIGN in base


def joined(name: str, size: int) -> str:
    """The name of the encoder at a size, replacing any size in `name`."""
    base = without_statistics(name)
    return f"{base.rpartition(SIGN)[0] or base}{SIGN}{size}{name.removeprefix(base)}"


def require_whole_patches(name: str, size: int, patch: int) -> None:
    """Raises UsageError, with the nearest valid sizes, if `size` is not a multiple of `patch`."""
    if size % patch == 0:
        return
    below, above = size // patch * patch, (size // patch + 1) * patch
    valid = [joined(name, side) for side in (below, above) if side >= SMALLEST]
    raise UsageError(
        f"{name} divides images into patches of {patch} x {patch} pixels, and {size} is not a "
        f"multiple of {patch}: use {' or '.join(valid)}."
    )
