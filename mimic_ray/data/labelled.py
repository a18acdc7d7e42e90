"""Images with labels, for `evaluate` and `attack`. Purification needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mimic_ray.base.errors import DataError, UnknownNameError
from mimic_ray.base.progress import StepCallback
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.base.text import near_names, plain
from mimic_ray.data.decoded_set import Pixels, open_pixels
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_source import open_announced
from mimic_ray.data.image_subset import ImageSubset


@dataclass(frozen=True)
class Labelled:
    """Decoded images with their labels, int64 [N], and the class names if there are any."""

    location: str
    fingerprint: str
    keys: list[str]
    pixels: Pixels
    labels: Tensor
    classes: list[str] | None

    def class_count(self) -> int:
        return max(int(self.labels.max()) + 1, len(self.classes or ()))

    def class_name(self, index: int) -> str:
        known = self.classes or []
        return known[index] if index < len(known) else f"class {index}"

    def class_index(self, name_or_index: str) -> int:
        """Raises UnknownNameError for a class that these images do not have."""
        return _class_index(name_or_index, self.location, self.classes or [], self.class_count())


def open_labelled(
    location: str | Path,
    side: int,
    *,
    limit: int | None = None,
    progress: StepCallback | None = None,
) -> Labelled:
    """The images at `location` as squares of `side` pixels, at most `limit` of them.

    Raises DataError if they have no labels or cannot be used.
    """
    return labelled(open_some(location, limit), side, progress)


def labelled(
    source: ImageSource,
    side: int,
    progress: StepCallback | None = None,
    decoded: Pixels | None = None,
) -> Labelled:
    """The same of a source that is open; `decoded` are its images if they have been decoded."""
    known = require_labels(source)
    pixels = decoded or open_pixels(source, side, progress=progress)
    # Without broken images, because a replacement would count another image twice.
    pixels = pixels.without_broken(progress)
    labels = torch.tensor(known, dtype=torch.int64)[torch.as_tensor(pixels.source_rows)]
    keys = [source.keys[index] for index in pixels.source_rows]
    return Labelled(source.location, source.fingerprint, keys, pixels, labels, source.classes)


def require_labels(source: ImageSource) -> list[int]:
    """The labels of all images, which are not decoded. Raises DataError if there are none."""
    if source.labels is None:
        raise DataError(
            f"{source.location} has no labels: give a folder that has a sub-folder for each class "
            "and all images in these (cat/1.jpg, dog/2.jpg), images with a .cls, .json or .txt of "
            "the same name, as files or in .tar shards, a table with a column of labels, or an npz "
            "file with y."
        )
    return source.labels


def class_count(source: ImageSource) -> int:
    """The number of classes of images that are not decoded. Raises DataError without labels."""
    return max(max(require_labels(source), default=-1) + 1, len(source.classes or ()))


def require_class(source: ImageSource, name_or_index: str) -> None:
    """Raises UnknownNameError for a class that these images, which are not decoded, do not have."""
    _class_index(name_or_index, source.location, source.classes or [], class_count(source))


def open_some(location: str | Path, limit: int | None) -> ImageSource:
    """All images at `location`, or `limit` of them, evenly spaced.

    They are evenly spaced because the first images of a sorted folder belong to one class.
    """
    return some(open_announced(location), limit)


def some(source: ImageSource, limit: int | None) -> ImageSource:
    """The same of a source that is open."""
    if limit is None or limit >= len(source):
        return source
    return ImageSubset(source, evenly_spaced(limit, len(source)))


def _class_index(name_or_index: str, location: str, classes: Sequence[str], number: int) -> int:
    if name_or_index in classes:
        return classes.index(name_or_index)
    if name_or_index.isdecimal() and int(name_or_index) < number:
        return int(name_or_index)
    some = ", ".join(plain(name, 40) for name in classes[:10])
    named = f" ({some}{' ...' if len(classes) > 10 else ''})" if some else ""
    hint = f"{location} has classes 0 to {number - 1}{named}."
    raise UnknownNameError("class", plain(name_or_index), near_names(name_or_index, classes), hint)
