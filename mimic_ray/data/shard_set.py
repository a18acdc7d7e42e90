"""Images in tar files, in a local folder or on object storage.

`ShardSet` determines the tars of a set and the location of each image. A `ShardFolder` reads them:
by offset from a disk (`local_shards`), by byte ranges from object storage (`remote_shards`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from mimic_ray.base.errors import BrokenImageError, DataError, MissingDataError
from mimic_ray.base.text import count, plain
from mimic_ray.data import manifest
from mimic_ray.data.manifest import CLASSES, MANIFEST, SET, Entry
from mimic_ray.data.names import is_shard


class ShardFolder(Protocol):
    """The files of one folder. `read_many` is thread-safe."""

    @property
    def remote(self) -> bool: ...
    def shown(self, name: str = "") -> str:
        """The address of a file for messages."""
        ...

    def names(self) -> list[str]:
        """The files in the folder, sorted."""
        ...

    def read_file(self, name: str) -> bytes | None:
        """The content of a small file, None if it does not exist."""
        ...

    def open(self, name: str) -> int | None:
        """The size of a plain tar in bytes, None if it does not exist. Call before `read_many`."""
        ...

    def index(self, name: str) -> list[Entry]:
        """The images of a tar that no manifest lists. Reads the whole tar on first use."""
        ...

    def read_many(self, entries: Sequence[Entry]) -> list[bytes | BrokenImageError]:
        """The encoded images, or an error for each that cannot be read. Raises StorageError."""
        ...


class ShardSet:
    """The images of some tars, in the order of the tars and of their members.

    `parts` are folders with the names of their tars; None means all tars that the folder's manifest
    lists, or all tars in the folder if it has no manifest. Images are located by the manifest,
    whose sizes are checked. The index of any other tar is computed on first use and cached. Members
    that are not regular files with an image suffix are skipped.

    Raises DataError for a tar that is missing, damaged or not a tar, for a key that occurs twice,
    and if there are no images; StorageError.
    """

    def __init__(
        self, location: str, parts: Sequence[tuple[ShardFolder, Sequence[str] | None]]
    ) -> None:
        self.location = location
        self.entries: list[Entry] = []
        self._folders: list[ShardFolder] = []  # of each entry
        tars = 0
        for folder, names in parts:
            for found in _entries(folder, names):
                tars += 1
                self.entries += found
                self._folders += [folder] * len(found)
        self.keys = [entry.key for entry in self.entries]
        if not self.keys:
            raise DataError(f"{location} contains {count(tars, 'tar')} but no images.")
        if len(set(self.keys)) < len(self.keys):
            raise _duplicate_key(self.entries)
        self.remote = any(folder.remote for folder, _ in parts)
        self._single = parts[0][0] if len(parts) == 1 else None
        self._first = parts[0][0]

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        (content,) = self._folders[index].read_many([self.entries[index]])
        if isinstance(content, BrokenImageError):
            raise content
        return content

    def read_many(self, indices: Sequence[int]) -> list[bytes | BrokenImageError]:
        """The encoded images in the given order. Raises StorageError if the storage fails."""
        if self._single:
            return self._single.read_many([self.entries[index] for index in indices])
        return [self._folders[index].read_many([self.entries[index]])[0] for index in indices]

    @cached_property
    def fingerprint(self) -> str:
        return manifest.fingerprint(self.entries)

    @cached_property
    def labels(self) -> list[int] | None:
        return manifest.labels(self.entries)

    @cached_property
    def classes(self) -> list[str] | None:
        content = self._first.read_file(CLASSES)
        return None if content is None else manifest.parse_classes(content)


def has_shards(folder: ShardFolder) -> bool:
    """Whether a folder contains shards, rather than image files."""
    return any(name == MANIFEST or is_shard(name) for name in folder.names())


def _entries(folder: ShardFolder, names: Sequence[str] | None) -> list[list[Entry]]:
    """The images of each tar."""
    listed, built_sizes = _manifest(folder)
    if names is None:
        names = list(listed) or [name for name in folder.names() if is_shard(name)]
    if not names:
        there = folder.names()
        what = f"only {count(len(there), 'other file')}" if there else "nothing"
        kind = DataError if there else MissingDataError
        raise kind(
            f"{folder.shown()} contains no .tar shards, {what}. Check the address, or make shards "
            "with `mimic-ray shards build` and copy them there."
        )
    found = []
    for name in names:
        size = folder.open(name)
        if size is None:
            images = count(len(listed.get(name, ())), "image")
            listing = f", and {MANIFEST} lists {images} in it" if name in listed else ""
            # A shard that the manifest lists was lost; any other name is one that the user gave.
            kind = DataError if listing else MissingDataError
            raise kind(f"{folder.shown(name)} does not exist{listing}.")
        if name in built_sizes and size != built_sizes[name]:
            raise DataError(
                f"{folder.shown(name)} has {size:,} bytes but was built with "
                f"{built_sizes[name]:,}: it was truncated or changed. Copy or build it again."
            )
        if name in listed:
            _check_reach(folder.shown(name), size, listed[name])
        found.append(listed.get(name) or folder.index(name))
    return found


def _manifest(folder: ShardFolder) -> tuple[dict[str, list[Entry]], Mapping[str, int]]:
    """The entries of each tar in the manifest, and the size in bytes with which it was built."""
    content = folder.read_file(MANIFEST)
    if content is None:
        return {}, {}
    listed = manifest.by_shard(manifest.parse_manifest(content, folder.shown(MANIFEST)))
    facts = folder.read_file(SET)
    if facts is None:
        return listed, {}
    built = manifest.parse_set(facts, folder.shown(SET))
    return listed, {shard.name: shard.bytes for shard in built.shards}


def _check_reach(shown: str, size: int, listed: Sequence[Entry]) -> None:
    """Raises DataError if the tar ends before an image that the manifest lists in it."""
    last = max(listed, key=lambda entry: entry.offset + entry.size)
    if last.offset + last.size > size:
        raise DataError(
            f"{shown} is truncated: {MANIFEST} lists {plain(last.key)} at bytes {last.offset:,} to "
            f"{last.offset + last.size:,}, but the file has {size:,}. `mimic-ray shards verify` "
            "names all such shards."
        )


def _duplicate_key(entries: Sequence[Entry]) -> DataError:
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.key in seen:
            break
        seen[entry.key] = entry.shard
    where = f"{plain(seen[entry.key])} and {plain(entry.shard)}"
    return DataError(
        f"The key {plain(entry.key)} occurs twice, in {where}. If these are two sets, select one "
        'with a pattern such as "train-*.tar".'
    )
