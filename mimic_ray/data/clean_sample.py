"""A few images of a clean set, decoded before any work: do they differ, and what size are they?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base.errors import BrokenImageError, DataError, option
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.base.text import plain
from mimic_ray.data.decode import decode
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.left_out import LOGGER
from mimic_ray.data.resize import centre_square
from mimic_ray.data.views import to_float

_MOST = 16
# A standard deviation below half a grey level: equal up to the losses of JPEG.
_NOTHING = 0.5 / 255
# Resizing by more than this is worth a note.
_FACTOR = 2.0


@dataclass(frozen=True)
class CleanSample:
    """`images` float [N, 3, S, S] in [0, 1]; `height` and `width`: medians of the files."""

    images: Tensor
    height: int
    width: int


def clean_sample(source: ImageSource, side: int) -> CleanSample | None:
    """At most 16 images, evenly spaced; None if they are far away, or all of them are broken."""
    if source.remote:
        return None
    squares, sizes = [], []
    for number in evenly_spaced(_MOST, len(source)):
        try:
            pixels = decode(source.read(number))
        except BrokenImageError:
            continue  # counted and reported when all are decoded
        sizes.append(pixels.shape[:2])
        squares.append(centre_square(pixels, side).transpose(2, 0, 1))
    if not squares:
        return None
    height, width = np.median(sizes, axis=0).round().astype(int).tolist()
    return CleanSample(to_float(torch.from_numpy(np.stack(squares))), height, width)


def require_variety(images: Tensor, location: str) -> None:
    """Raises DataError if images [N, 3, S, S] in [0, 1] are all equal or each of one colour."""
    if images.flatten(2).std(dim=2).max() < _NOTHING:
        raise DataError(
            f"Each image of {plain(location)} has a single colour, so they tell nothing about an "
            f"encoder: give real images with {option('data')}."
        )
    if images.std(dim=0).mean() < _NOTHING:
        raise DataError(
            f"The images of {plain(location)} are all equal, so they do not show which features "
            f"an encoder tells apart: give different images with {option('data')}."
        )


def resizing_note(sample: CleanSample, side: int, encoder: str, location: str) -> str:
    """From which size to which images are resized, "" if the factor is at most 2."""
    factor = min(sample.height, sample.width) / side
    if 1 / _FACTOR <= factor <= _FACTOR:
        return ""
    what = "reduced" if factor > 1 else "enlarged"
    return (
        f"The images of {plain(location)} are {what} from {sample.width} x {sample.height} pixels "
        f"(median) to {side} x {side}, the input size of {encoder}."
    )


def announce_resizing(sample: CleanSample | None, side: int, encoder: str, location: str) -> None:
    """Logs the note, which the command line prints."""
    if sample and (note := resizing_note(sample, side, encoder, location)):
        LOGGER.warning("%s", note)
