"""Images in tar files, in a local folder or on object storage.

`ShardSet` determines the tars of a set and the location of each image. A `ShardFolder` reads them:
by offset from a disk (`local_shards`), by byte ranges from object storage (`remote_shards`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from math import ceil
from typing import Protocol, runtime_checkable

from mimic_ray.base.errors import BrokenImageError, DataError, MissingDataError
from mimic_ray.base.text import count, plain
from mimic_ray.data import manifest
from mimic_ray.data.archives import ARCHIVE, is_archive, why_not_read
from mimic_ray.data.fingerprint import set_fingerprint
from mimic_ray.data.left_out import Omissions, sentences
from mimic_ray.data.manifest import BUILDING, CLASSES, MANIFEST, SET, Entry, Index
from mimic_ray.data.names import IMAGE_SUFFIXES, UNREAD_IMAGES, is_shard, suffix_of
from mimic_ray.data.samples import numbered
from mimic_ray.data.splits import require_one_split

ONLY_TARS = (
    "From object storage only .tar shards are read. Copy the images to a local disk, then write "
    "shards: mimic-ray shards build COPY --out ADDRESS"
)


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

    def index(self, name: str) -> Index:
        """The images of a tar that no manifest lists. Reads the whole tar on first use."""
        ...

    def read_many(self, entries: Sequence[Entry]) -> list[bytes | BrokenImageError]:
        """The encoded images, or an error for each that cannot be read. Raises StorageError."""
        ...


@runtime_checkable
class FarFolder(ShardFolder, Protocol):
    """A folder on object storage, whose shards can be fetched to local disk."""

    def folders(self) -> list[str]:
        """The folders in it."""
        ...

    def bring(self, names: Collection[str]) -> int:
        """Fetches these shards in the background, if the cache folder has space for all of them.

        Returns the bytes that they take there, 0 if there is no space.
        """
        ...

    def has_space(self, names: Collection[str], used: int) -> bool:
        """Whether there is space for `used` of them at a time, read one after another."""
        ...

    def expect(self, names: Sequence[str]) -> None:
        """Fetches these shards in this order, and deletes the least recently used ones."""
        ...


class ShardSet:
    """The images of some tars, in the order of the tars and of their members.

    `parts` are folders with the names of their tars; None means all tars that the folder's manifest
    lists, or all tars in the folder if it has no manifest. Images are located by the manifest,
    whose sizes are checked. The index of any other tar is computed on first use and cached.
    `left_out` counts what is not read. Keys that occur in several tars get the name of their tar.

    Raises DataError for a tar that is missing, damaged or not a tar, and if there are no images;
    StorageError.
    """

    def __init__(
        self, location: str, parts: Sequence[tuple[ShardFolder, Sequence[str] | None]]
    ) -> None:
        self.location = location
        self.entries: list[Entry] = []
        self.left_out = Omissions()
        self.notes: list[str] = []
        self._folders: list[ShardFolder] = []  # of each entry
        tars = 0
        for folder, names in parts:
            for found in _indexes(folder, names, self.left_out):
                tars += 1
                self.entries += found.entries
                self.left_out.add_all(found.left_out)
                self._folders += [folder] * len(found.entries)
        if not self.entries:
            instead = _instead(location, self.left_out)
            raise DataError(f"{location} contains {count(tars, 'tar')} but no images{instead}.")
        self.keys = _unique_keys(self.entries)
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

    def bring(self) -> int:
        """Fetches the shards of a remote folder in the background, if they fit; see `FarFolder`."""
        return self._far.bring(self._names) if self._far else 0

    def can_stream(self, images: int) -> bool:
        """Whether the shards of this number of images fit at a time."""
        used = ceil(images * len(self._names) / len(self)) + 1
        return bool(self._far and self._far.has_space(self._names, min(used, len(self._names))))

    def shards(self) -> list[int]:
        """The number of each image's shard."""
        number = {name: index for index, name in enumerate(self._names)}
        return [number[entry.shard] for entry in self.entries]

    def expect(self, shards: Sequence[int]) -> None:
        """Fetches the shards of these numbers in this order, as far as there is space."""
        if self._far:
            self._far.expect([self._names[number] for number in shards])

    @property
    def _far(self) -> FarFolder | None:
        return self._single if isinstance(self._single, FarFolder) else None

    @cached_property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(entry.shard for entry in self.entries))

    @cached_property
    def fingerprint(self) -> str:
        sums = (entry.sha256 for entry in self.entries)
        return set_fingerprint(zip(self.keys, sums, strict=True))

    @property
    def labels(self) -> list[int] | None:
        return self._labels[0]

    @property
    def classes(self) -> list[str] | None:
        return self._labels[1] or self._listed_classes

    @cached_property
    def _listed_classes(self) -> list[str] | None:
        content = self._first.read_file(CLASSES)
        return None if content is None else manifest.parse_classes(content)

    @cached_property
    def _labels(self) -> tuple[list[int] | None, list[str] | None]:
        labels = (e.class_name if e.label is None else e.label for e in self.entries)
        return numbered(labels, self._listed_classes or ())


def _indexes(folder: ShardFolder, names: Sequence[str] | None, left_out: Omissions) -> list[Index]:
    """The images of each tar. Adds to `left_out` what else is in a folder that is read whole."""
    listed, built_sizes = _manifest(folder)
    if not listed and BUILDING in folder.names():
        raise DataError(
            f"{folder.shown()} is a set whose build has not ended: repeat the `mimic-ray shards "
            "build` that began it."
        )
    if names is None:
        names = list(listed) or [name for name in folder.names() if is_shard(name)]
        if not listed:
            require_one_split(folder.shown(), names, "tar")
        for name in sorted(set(folder.names()) - set(names)):
            if is_shard(name):
                left_out.add(f"a tar that {MANIFEST} does not list", name)
            elif is_archive(name) or suffix_of(name) in UNREAD_IMAGES:
                left_out.add(why_not_read(name), name)
            elif suffix_of(name) in IMAGE_SUFFIXES:
                left_out.add("an image beside shards", name)
    if not names:
        raise _no_shards(folder)
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
        known = listed.get(name)
        found.append(Index(known, Omissions()) if known else folder.index(name))
    return found


def _no_shards(folder: ShardFolder) -> DataError:
    there = folder.names()
    below = folder.folders() if isinstance(folder, FarFolder) else []
    shown = folder.shown().rstrip("/")
    if below:
        return DataError(
            f"{shown} contains no .tar shards itself, {_folders(below)}. Give one of them, such as "
            f"{shown}/{below[0]}."
        )
    if not there:
        return MissingDataError(
            f"{shown} contains no .tar shards, nothing at all. Check the address."
        )
    return DataError(
        f"{shown} contains no .tar shards, only {count(len(there), 'other file')} such as "
        f"{plain(there[0])}. {ONLY_TARS}"
    )


def _folders(names: Sequence[str]) -> str:
    return f"but {count(len(names), 'folder')}: {', '.join(map(plain, names[:3]))}" + (
        " ..." if len(names) > 3 else ""
    )


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


def _unique_keys(entries: Sequence[Entry]) -> list[str]:
    """The keys, each after the name of its tar if one of them occurs in several tars.

    Writers that run beside each other count from 0 in each of their shards.
    """
    keys = [entry.key for entry in entries]
    if len(set(keys)) == len(keys):
        return keys
    keys = [f"{entry.shard.partition('.')[0]}/{entry.key}" for entry in entries]
    if len(set(keys)) == len(keys):
        return keys
    # Tars of the same name in several folders.
    return [f"{row:09}/{key}" for row, key in enumerate(keys)]


def _instead(location: str, left_out: Omissions) -> str:
    """What the tars contain instead of images, with the way out."""
    archives = left_out.get(ARCHIVE)
    if archives is None:
        return f": {'; '.join(sentences(left_out))}" if left_out else ""
    return (
        f": it contains {count(archives.count, 'archive')}, such as {plain(archives.first)}. "
        f"Unpack it: tar -xf {location if is_shard(location) else 'FILE'} -C FOLDER, and give that "
        "FOLDER"
    )
