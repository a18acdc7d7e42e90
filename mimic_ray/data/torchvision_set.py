"""A torchvision data set that is already on disk. Nothing is downloaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import DataError, MissingDataError, UnknownNameError, UsageError
from mimic_ray.base.text import near_names, plain
from mimic_ray.data.fingerprint import set_fingerprint
from mimic_ray.data.left_out import Omissions
from mimic_ray.data.npz_file import as_png


@dataclass(frozen=True)
class _Kind:
    splits: tuple[str, ...]
    labels: str  # the attribute with the label of each image


# CIFAR's files are pickles; torchvision reads them only if their MD5 sums are the official ones.
_KINDS = {
    "CIFAR10": _Kind(("train", "test"), "targets"),
    "CIFAR100": _Kind(("train", "test"), "targets"),
    "STL10": _Kind(("train", "test", "unlabeled"), "labels"),
    "SVHN": _Kind(("train", "test", "extra"), "labels"),
}


class TorchvisionSet:
    """`torchvision:NAME:ROOT[:SPLIT]`, such as torchvision:CIFAR10:/data:test. Default: train.

    Images are returned as PNG files; keys are row numbers. Raises UnknownNameError, DataError.
    """

    remote = False

    def __init__(self, location: str) -> None:
        self.location = location
        self.left_out = Omissions()
        self.notes: list[str] = []
        name, root, split = _parts(location)
        self._images = _open(name, root, split)
        self.keys = [f"{row:06}" for row in range(len(self._images))]
        labels = [int(label) for label in getattr(self._images, _KINDS[name].labels)]
        # STL-10 gives its unlabelled images the label -1.
        self.labels = labels if min(labels, default=-1) >= 0 else None
        names = getattr(self._images, "classes", None)
        self.classes: list[str] | None = list(map(str, names)) if names else None
        if not self.keys:
            raise DataError(f"{location} contains no images.")

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        """The image as a PNG file."""
        return as_png(self._images[index][0])

    @cached_property
    def fingerprint(self) -> str:
        pixels = (self._images[row][0].tobytes() for row in range(len(self)))
        digests = (hashlib.sha256(content).hexdigest() for content in pixels)
        return set_fingerprint(zip(self.keys, digests, strict=True))


def _parts(location: str) -> tuple[str, str, str]:
    _, _, rest = location.partition(":")
    name, _, rest = rest.partition(":")
    if name not in _KINDS:
        raise UnknownNameError(
            "torchvision data set", name, near_names(name, _KINDS), f"Known: {', '.join(_KINDS)}."
        )
    root, _, split = rest.rpartition(":")
    if not root:
        root, split = rest, "train"
    if not root or split not in _KINDS[name].splits:
        raise UsageError(
            f"{location}: expected torchvision:{name}:ROOT or torchvision:{name}:ROOT:SPLIT with "
            f"split {', '.join(_KINDS[name].splits)}."
        )
    return name, root, split


def _open(name: str, root: str, split: str) -> Any:
    if not Path(root).expanduser().is_dir():
        raise MissingDataError(f"{plain(root)} does not exist: give the folder that has {name}.")
    # torchvision takes seconds to import, and most runs do not need it.
    from torchvision import datasets

    try:
        if name in ("CIFAR10", "CIFAR100"):
            return getattr(datasets, name)(root, train=split == "train", download=False)
        return getattr(datasets, name)(root, split=split, download=False)
    except (RuntimeError, OSError, ImportError, ValueError) as error:
        raise DataError(f"torchvision found no {name} in {root}: {plain(error)}.") from error
