"""The clean images of a scan: checked, and divided into parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError
from mimic_ray.base.progress import StepCallback
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.base.text import count, plain
from mimic_ray.data.clean_sample import require_variety
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.views import to_float
from mimic_ray.scanning.openings import Images

LEAST, MOST = 64, 336
_HELD_OUT, _SEARCH = 48, 32


@dataclass(frozen=True)
class ScanImages:
    """`parts` on the device of the scan, the keys of the images in the bank, and how many images
    could be read in all."""

    parts: Images
    bank_keys: list[str]
    number: int


def open_scan_images(
    source: ImageSource,
    side: int,
    compute: Compute,
    progress: StepCallback | None = None,
) -> ScanImages:
    """Decodes the images at `side` pixels and divides them. Raises DataError as `divided` does."""
    pixels = open_pixels(source, side, progress=progress)
    pictures = to_float(pixels.gather(torch.arange(len(pixels)))).to(compute.torch_device)
    parts, rows = divided(pictures, source.location)
    keys = [source.keys[pixels.source_rows[row]] for row in rows.tolist()]
    return ScanImages(parts, keys, len(pixels))


def require_images(number: int, location: str) -> None:
    """Raises DataError for fewer images than a scan needs; before they are decoded."""
    if number < LEAST:
        raise DataError(
            f"A scan needs at least {LEAST} clean images, because it searches on some and measures "
            f"on others; {plain(location)} has {count(number, 'image')}."
        )


def divided(images: Tensor, location: str) -> tuple[Images, Tensor]:
    """float [N, 3, S, S] in [0, 1], N >= 64 -> its parts, and the rows of the bank.

    Images alternate between the parts, so that all parts have all classes of sorted images. Raises
    DataError if the images are all equal or each of one colour.
    """
    require_images(len(images), location)
    require_variety(images, location)
    held_out, search = min(_HELD_OUT, len(images) // 4), min(_SEARCH, len(images) // 4)
    order = torch.arange(len(images))
    measured = torch.tensor(evenly_spaced(held_out, len(images)))
    rest = order[~torch.isin(order, measured)]
    searched = rest[evenly_spaced(search, len(rest))]
    bank = rest[~torch.isin(rest, searched)]
    return Images(images[bank], images[searched], images[measured]), bank
