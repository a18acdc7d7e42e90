"""The clean images of a scan: checked, and divided into parts."""

from __future__ import annotations

import torch
from torch import Tensor

from mimic_ray.base.errors import DataError
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.base.text import count, plain
from mimic_ray.data.clean_sample import require_variety
from mimic_ray.scanning.openings import Images

LEAST, MOST = 64, 336
_HELD_OUT, _SEARCH = 48, 32


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
