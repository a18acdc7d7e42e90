"""Images with their classes. Only `evaluate` and `attack` look here: purifying needs no label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mimic_ray.base.errors import BrokenImageError, DataError, UnknownNameError
from mimic_ray.base.registry import near_names
from mimic_ray.base.text import plain
from mimic_ray.data.cache import Pixels, open_pixels
from mimic_ray.data.image_source import ImageSource, RemoteSource, open_images, read_many


@dataclass(frozen=True)
class Labelled:
    """Decoded images and the class of each, int64 [N]. `classes` are names, where there are any."""

    location: str
    fingerprint: str
    keys: list[str]
    pixels: Pixels
    labels: Tensor
    classes: list[str] | None

    def class_count(self) -> int:
        return max(int(self.labels.max()) + 1, len(self.classes or ()))

    def class_name(self, index: int) -> str:
        return self.classes[index] if self.classes else f"class {index}"

    def class_index(self, name_or_index: str) -> int:
        """Raises UnknownNameError for a class that these images do not have."""
        if name_or_index in (self.classes or ()):
            return (self.classes or []).index(name_or_index)
        if name_or_index.isdecimal() and int(name_or_index) < self.class_count():
            return int(name_or_index)
        some = ", ".join(plain(name, 40) for name in (self.classes or ())[:10])
        named = f" ({some}{' ...' if len(self.classes or ()) > 10 else ''})" if some else ""
        hint = f"{self.location} has classes 0 to {self.class_count() - 1}{named}."
        near = near_names(name_or_index, self.classes or ())
        raise UnknownNameError("class", plain(name_or_index), near, hint)


def open_labelled(
    location: str | Path,
    side: int,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Labelled:
    """The images at `location`, `side` pixels wide; with `limit`, so many of them.

    Raises DataError when they have no labels or cannot be used.
    """
    source = open_some(location, limit)
    if source.labels is None:
        raise DataError(
            f"{source.location} holds images without labels: give shards with .cls members, one "
            "folder a class, or an npz with y."
        )
    # A substitute would count an image twice.
    pixels = open_pixels(source, side, progress=progress).without_broken(progress)
    labels = torch.tensor(source.labels, dtype=torch.int64)[torch.as_tensor(pixels.kept)]
    keys = [source.keys[index] for index in pixels.kept]
    return Labelled(source.location, source.fingerprint, keys, pixels, labels, source.classes)


def open_some(location: str | Path, limit: int | None) -> ImageSource:
    """All images at `location`, or `limit` of them, taken evenly from the whole.

    Evenly, since the first of a folder sorted by class would all be of one class.
    """
    source = open_images(location)
    if limit is None or limit >= len(source):
        return source
    chosen = [place * len(source) // limit for place in range(limit)]
    if isinstance(source, RemoteSource):
        return _SomeRemote(source, chosen)
    return _Some(source, chosen)


class _Some:
    """Some images of a source, as a source."""

    def __init__(self, source: ImageSource, chosen: Sequence[int]) -> None:
        self._source, self._chosen = source, chosen
        self.keys = [source.keys[index] for index in chosen]
        labels = source.labels
        self.labels = None if labels is None else [labels[index] for index in chosen]
        self.classes = source.classes
        self.location = source.location
        self.fingerprint = f"{source.fingerprint} ({len(chosen)} of {len(source)})"

    def __len__(self) -> int:
        return len(self._chosen)

    def read(self, index: int) -> bytes:
        return self._source.read(self._chosen[index])


class _SomeRemote(_Some):
    def read_many(self, indices: Sequence[int]) -> list[bytes | BrokenImageError]:
        return read_many(self._source, [self._chosen[index] for index in indices])
