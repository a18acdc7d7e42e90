"""A folder of image files, searched recursively."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.text import count, plain
from mimic_ray.data.fingerprint import file_digests, set_fingerprint
from mimic_ray.data.names import (
    IMAGE_LIMIT_BYTES,
    IMAGE_SUFFIXES,
    OVER_LIMIT,
    as_key,
    is_hidden,
    suffix_of,
)


class ImageFolder:
    """The images below `root`, sorted by their relative names, which are the keys.

    If all images are in sub-folders, and there are several, these are the classes. Hidden files and
    folders are skipped, and links to folders are not followed. Raises DataError without images.
    """

    remote = False

    def __init__(self, root: Path) -> None:
        self.location = str(root)
        self._root = root
        found = {as_key(name): root / name for name in sorted(_image_names(root))}
        if not found:
            raise DataError(f"{root} contains no images and no .tar shards{_what_else(root)}.")
        self.keys = list(found)
        self._paths = list(found.values())

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        try:
            with self._paths[index].open("rb") as file:
                content = file.read(IMAGE_LIMIT_BYTES + 1)
        except OSError as error:
            raise BrokenImageError(f"cannot be read: {error.strerror or error}") from error
        if len(content) > IMAGE_LIMIT_BYTES:
            raise BrokenImageError(OVER_LIMIT)
        return content

    @cached_property
    def fingerprint(self) -> str:
        paths = dict(zip(self.keys, self._paths, strict=True))
        return set_fingerprint(file_digests(self._root, paths).items())

    @cached_property
    def classes(self) -> list[str] | None:
        folders = {key.partition("/")[0] for key in self.keys if "/" in key}
        everywhere = all("/" in key for key in self.keys)
        return sorted(folders) if everywhere and len(folders) > 1 else None

    @cached_property
    def labels(self) -> list[int] | None:
        if self.classes is None:
            return None
        number = {name: label for label, name in enumerate(self.classes)}
        return [number[key.partition("/")[0]] for key in self.keys]


def _image_names(root: Path) -> Iterator[str]:
    """Relative names of the image files, with "/" between folders."""
    for name in _file_names(root):
        if suffix_of(name) in IMAGE_SUFFIXES:
            yield name


def _file_names(root: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error

    for folder, subfolders, names in os.walk(root, onerror=fail):
        subfolders[:] = [name for name in subfolders if not is_hidden(name)]
        inside = Path(folder).relative_to(root)
        for name in names:
            # Reading a pipe or a device would block.
            if not is_hidden(name) and Path(folder, name).is_file():
                yield (inside / name).as_posix()


def _what_else(root: Path) -> str:
    others = sorted(_file_names(root))
    if not others:
        return ": it is empty"
    return f": only {count(len(others), 'other file')}, such as {plain(others[0])}"
