"""A torchvision data set that is already on disk. Nothing is downloaded."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import (
    BrokenImageError,
    DataError,
    MissingDataError,
    UnknownNameError,
    UsageError,
)
from mimic_ray.base.text import near_names, plain
from mimic_ray.data.fingerprint import file_digests, set_fingerprint
from mimic_ray.data.image_folder import read_image
from mimic_ray.data.left_out import Omissions
from mimic_ray.data.npz_file import as_png
from mimic_ray.data.torchvision_kinds import KINDS


class TorchvisionSet:
    """`torchvision:NAME:ROOT[:SPLIT]`, such as torchvision:CIFAR10:/data:test.

    Keys are row numbers. Images are the files of the set, or PNG files of its pixels where it has
    no files. Raises UnknownNameError, DataError.
    """

    remote = False

    def __init__(self, location: str) -> None:
        self.location = location
        self.left_out = Omissions()
        self.notes: list[str] = []
        name, self._root, split = _parts(location)
        self._kind = KINDS[name]
        self._images = _open(name, self._root, split)
        self.keys = [f"{row:06}" for row in range(len(self._images))]
        if not self.keys:
            raise DataError(f"{location} contains no images.")
        self._files = [Path(path) for path in self._attribute(self._kind.files)]
        names = getattr(self._images, "classes", None)
        self.classes: list[str] | None = list(map(str, names)) if names else None

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        """The encoded image: its file, or a PNG."""
        if self._files:
            return read_image(self._files[index])
        try:
            return as_png(self._images[index][0])
        except Exception as error:  # torchvision opens a file, which may be gone or damaged
            raise BrokenImageError(f"{type(error).__name__}: {plain(error)}") from error

    @cached_property
    def labels(self) -> list[int] | None:
        found = self._attribute(self._kind.labels)
        if not found:
            found = [self._images[row][1] for row in range(len(self))]
        if any(label is None for label in found):
            return None
        labels = [int(label) for label in found]
        # STL-10 gives its unlabelled images the label -1.
        return labels if min(labels) >= 0 else None

    @cached_property
    def fingerprint(self) -> str:
        if self._files:
            paths = dict(zip(self.keys, self._files, strict=True))
            return set_fingerprint(file_digests(Path(self._root), paths).items())
        pixels = (self._images[row][0].tobytes() for row in range(len(self)))
        digests = (hashlib.sha256(content).hexdigest() for content in pixels)
        return set_fingerprint(zip(self.keys, digests, strict=True))

    def _attribute(self, text: str) -> list[Any]:
        """The items of "name", or index n of each item of "name[n]"."""
        if not text:
            return []
        name, bracket, index = text.rstrip("]").partition("[")
        items = getattr(self._images, name)
        return [item[int(index)] if bracket else item for item in items]


def _parts(location: str) -> tuple[str, str, str]:
    """Name, root and split."""
    _, _, rest = location.partition(":")
    name, _, rest = rest.partition(":")
    if name not in KINDS:
        raise UnknownNameError(
            "torchvision data set", name, near_names(name, KINDS), f"Known: {', '.join(KINDS)}."
        )
    splits = list(KINDS[name].splits)
    root, _, split = rest.rpartition(":")
    if not root:
        root, split = rest, splits[0]
    if not root or split not in splits:
        raise UsageError(
            f"{location}: expected torchvision:{name}:ROOT or torchvision:{name}:ROOT:SPLIT with "
            f"split {', '.join(splits)}."
        )
    return name, str(Path(root).expanduser()), split


def _open(name: str, root: str, split: str) -> Any:
    if not Path(root).is_dir():
        raise MissingDataError(f"{plain(root)} does not exist: give the folder that has {name}.")
    # torchvision takes seconds to import, and most runs do not need it.
    from torchvision import datasets

    try:
        return getattr(datasets, name)(root, **KINDS[name].splits[split])
    except Exception as error:  # a set has its own errors: RuntimeError, OSError, KeyError ...
        raise DataError(
            f"torchvision found no {name} in {root}: {plain(error)}. Give the folder into which "
            "torchvision downloaded it."
        ) from error
