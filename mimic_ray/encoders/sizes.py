"""Encoders at another image size: `vit_b16@384` is vit_b16 for images of 384 x 384 pixels.

A convolutional network takes any size as it is. A transformer keeps a learnt table with a row for
every patch, whose length is that of the size: see positions.py for weights of another one.
"""

from __future__ import annotations

from mimic_ray.base.errors import UsageError

SIGN = "@"

# Below, the maps of any family are one position, and a view's perturbations under a pixel.
LEAST = 8


def split(name: str) -> tuple[str, int | None]:
    """("vit_b16", 384) of "vit_b16@384", ("vit_b16", None) of "vit_b16".

    Raises UsageError where what follows the sign is no size.
    """
    base, sign, size = name.rpartition(SIGN)
    if not sign:
        return name, None
    if not (size.isascii() and size.isdigit() and len(size) <= 5 and int(size) >= LEAST):
        raise UsageError(
            f'"{size}" in {name} is no image size: after {SIGN} comes the side in pixels, from '
            f"{LEAST} up, as in {base or 'vit_b16'}{SIGN}224."
        )
    return base, int(size)


def is_stated(name: str) -> bool:
    """Whether a name says its size itself."""
    return name.rpartition(SIGN)[2].isdigit() and SIGN in name


def joined(name: str, size: int) -> str:
    """The name of an encoder at a size, whatever size `name` had."""
    return f"{name.rpartition(SIGN)[0] or name}{SIGN}{size}"


def require_whole_patches(name: str, size: int, patch: int) -> None:
    """Raises UsageError, with the next sizes that work, where patches do not cover an image."""
    if size % patch == 0:
        return
    below, above = size // patch * patch, (size // patch + 1) * patch
    works = [joined(name, side) for side in (below, above) if side >= LEAST]
    raise UsageError(
        f"{name} cuts images into patches of {patch} x {patch} pixels, of which {size} is no "
        f"multiple: use {' or '.join(works)}."
    )
