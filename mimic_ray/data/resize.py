"""Resizes the centre square of an image."""

from __future__ import annotations

import numpy as np
from PIL import Image

from mimic_ray.data.decode import Pixels8


def centre_square(pixels: Pixels8, side: int) -> Pixels8:
    """uint8 [H, W, 3] -> [side, side, 3]: shorter side to `side` by bicubic, then centre crop.

    Downscaling is antialiased. An image that has this size already is returned unchanged.
    """
    height, width = pixels.shape[:2]
    if height == width == side:
        return pixels
    shorter = min(height, width)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    # In one call, so that a 1 x 60,000 image is not enlarged before it is cropped.
    return np.asarray(
        Image.fromarray(pixels).resize(
            (side, side), Image.Resampling.BICUBIC, (left, top, left + shorter, top + shorter)
        )
    )
