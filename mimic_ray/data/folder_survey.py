"""Everything below a folder, sorted into images, sets of images and other files.

Links to folders are followed, because subsets of large sets are made of them. Each folder is read
once, so a loop ends, and a link to a folder above the first one is not followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mimic_ray.base.errors import DataError
from mimic_ray.data.archives import why_not_read
from mimic_ray.data.labels_beside import without_labels
from mimic_ray.data.left_out import Omissions
from mimic_ray.data.names import (
    IMAGE_SUFFIXES,
    START_BYTES,
    image_format,
    is_hidden,
    is_shard,
    is_table,
    is_unnamed,
    suffix_of,
)

_ABOVE = "a link to a folder above"
_TWICE = "a link to a folder that is read already"
_NOWHERE = "a link that leads nowhere"
_SPECIAL = "not a regular file"
_HIDDEN = "hidden"


@dataclass
class Survey:
    """Names relative to `root` with "/" between folders, sorted."""

    root: Path
    images: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    zips: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    left_out: Omissions = field(default_factory=Omissions)

    def add(self, name: str) -> None:
        if suffix_of(name) in IMAGE_SUFFIXES:
            self.images.append(name)
        elif is_shard(name):
            self.shards.append(name)
        elif is_table(name):
            self.tables.append(name)
        elif suffix_of(name) == "zip":
            self.zips.append(name)
        elif is_unnamed(name) and image_format(start_of(self.root / name)):
            self.images.append(name)
        else:
            self.others.append(name)

    def add_folder(self, folder: str, inside: Survey) -> None:
        """Adds the survey of a folder below `root`."""
        for own, names in zip(self._lists(), inside._lists(), strict=True):
            own += [f"{folder}/{name}" for name in names]
        self.left_out.add_all(inside.left_out)

    def sort(self) -> None:
        for names in self._lists():
            names.sort()

    def _lists(self) -> tuple[list[str], ...]:
        return self.images, self.shards, self.tables, self.zips, self.others

    def beside_images(self) -> Omissions:
        """What is left out if the images are read."""
        left_out = Omissions(self.left_out)
        others = without_labels(self.others, self.images)
        for name in (*others, *self.shards, *self.tables, *self.zips):
            left_out.add(why_not_read(name), name)
        return left_out


def survey(root: Path) -> Survey:
    """Walks `root`. Raises DataError for a folder that cannot be read."""
    found = Survey(root)
    for name in _names(root, found.left_out):
        found.add(name)
    found.sort()
    return found


def _names(root: Path, left_out: Omissions) -> Iterator[str]:
    """The regular files below `root`."""
    above = {_identity(folder) for folder in root.resolve().parents}
    read = {_identity(root)}
    folders, links = [""], list[str]()
    while folders or links:
        if folders:
            folder = folders.pop()
        else:
            # After all folders that are really here, so that these keep their own names.
            links.sort()
            folder = links.pop(0)
            identity = _identity(root / folder)
            if identity in above or identity in read:
                left_out.add(_TWICE if identity in read else _ABOVE, folder)
                continue
            read.add(identity)
        for entry in _entries(root / folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            if is_hidden(name):
                left_out.add(_HIDDEN, name)
            elif entry.is_dir():
                if entry.is_symlink():
                    links.append(name)
                else:
                    read.add(_identity(root / name))
                    folders.append(name)
            elif entry.is_file():
                yield name
            else:  # reading a pipe or a device would block
                left_out.add(_NOWHERE if entry.is_symlink() else _SPECIAL, name)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error


def _identity(folder: Path) -> tuple[int, int]:
    try:
        facts = folder.stat()
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
    return facts.st_dev, facts.st_ino


def start_of(path: Path) -> bytes:
    """The first bytes of a file, nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(START_BYTES)
    except OSError:
        return b""
