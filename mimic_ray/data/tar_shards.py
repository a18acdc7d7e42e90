"""Images in tar files, read by offset."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.locks import release
from mimic_ray.base.text import count, plain
from mimic_ray.data import manifest
from mimic_ray.data.fingerprint import file_identity, path_id, remember
from mimic_ray.data.manifest import MANIFEST, Entry
from mimic_ray.data.names import (
    IMAGE_LIMIT_BYTES,
    IMAGE_SUFFIXES,
    as_key,
    cache_folder,
    is_hidden,
    is_shard,
    suffix_of,
)
from mimic_ray.data.tar_index import Member, members_of
from mimic_ray.data.unpack import is_gzip, tars_in_use, unpacked

# A process may have 1,024 files open by default; beyond this each read opens its own.
_OPEN_SHARDS = 256
_LABEL_LIMIT_BYTES = 64
# Raised when what an index holds changes.
_INDEX_VERSION = "1"


def shards_of(folder: Path) -> list[Path]:
    """The shards that lie in a folder: those of its manifest if it has one, else all in it."""
    if (folder / MANIFEST).is_file():
        return [folder / name for name in manifest.shard_names(folder / MANIFEST)]
    try:
        return sorted(path for path in folder.iterdir() if is_shard(path))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.") from error


class TarShards:
    """The images of some tars, in the order of the tars and of their members.

    A tar with a manifest beside it is read by that, after its size is checked; of any other an
    index is made on first use and remembered in the cache folder, as is the plain form of a
    compressed one. Members that are no regular files or have no image suffix are left out.

    Raises DataError for a tar that is damaged, cut or foreign, for a key that occurs twice, and if
    there is no image at all. `entries` says where each image lies.
    """

    def __init__(self, paths: Sequence[Path], location: str) -> None:
        self.location = location
        self._folder = paths[0].parent if paths else Path()
        manifests = {folder: _manifest_of(folder) for folder in {p.parent for p in paths}}
        self._files: list[Path] = []
        self.entries: list[Entry] = []
        self._places: list[tuple[int, int, int]] = []  # file, size, offset
        # Other shards' room must not be made out of the unpacked forms of these.
        weakref.finalize(self, release, tars_in_use())
        for path in paths:
            listed = manifests[path.parent].get(path.name)
            plain_tar, entries = _open_tar(path, listed)
            number = len(self._files)
            self._files.append(plain_tar)
            self.entries += entries
            self._places += [(number, entry.size, entry.offset) for entry in entries]
        self.keys = [entry.key for entry in self.entries]
        if not self.keys:
            raise DataError(f"{location} holds {count(len(paths), 'tar')} and not one image.")
        if len(set(self.keys)) < len(self.keys):
            raise key_twice(self.entries)
        self._open: list[int] = []
        if len(self._files) <= _OPEN_SHARDS:
            self._open = [_descriptor(path) for path in self._files]
            weakref.finalize(self, _close, self._open)

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        number, size, offset = self._places[index]
        if size > IMAGE_LIMIT_BYTES:
            raise BrokenImageError(f"over the limit of {IMAGE_LIMIT_BYTES >> 20} MiB a file")
        try:
            if self._open:
                content = os.pread(self._open[number], size, offset)
            else:
                with self._files[number].open("rb") as file:
                    content = os.pread(file.fileno(), size, offset)
        except OSError as error:
            raise BrokenImageError(f"cannot be read: {error.strerror or error}") from error
        if len(content) < size:
            raise BrokenImageError("its shard was cut after it was opened")
        return content

    @cached_property
    def fingerprint(self) -> str:
        return manifest.fingerprint(self.entries)

    @cached_property
    def labels(self) -> list[int] | None:
        return manifest.labels(self.entries)

    @cached_property
    def classes(self) -> list[str] | None:
        return manifest.read_classes(self._folder)


def image_entries(path: Path, name: str) -> list[Entry]:
    """The images of a plain tar, with the integer labels of `.cls` members, under shard `name`.

    Reads the whole file once. Raises DataError for anything but a whole tar.
    """
    try:
        with path.open("rb") as file:
            return entries_of(file, path.stat().st_size, str(path), name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def entries_of(file: BinaryIO, total: int, path: str, name: str) -> list[Entry]:
    """The same of an open file of `total` bytes, read from its start to its end."""
    labels: dict[str, int] = {}
    entries: list[Entry] = []
    for member in members_of(file, total, path):
        if is_hidden(member.name):
            continue
        key = as_key(member.name).rpartition(".")[0]
        if suffix_of(member.name) == "cls" and member.size <= _LABEL_LIMIT_BYTES:
            file.seek(member.offset)
            text = file.read(member.size).strip()
            if text.isdigit():
                labels[key] = int(text)
        elif suffix_of(member.name) in IMAGE_SUFFIXES:
            sha256 = _sha256(file, member)
            entries.append(Entry(key, name, member.offset, member.size, sha256))
    return [entry._replace(label=labels.get(entry.key)) for entry in entries]


def _open_tar(path: Path, listed: list[Entry] | None) -> tuple[Path, list[Entry]]:
    """The plain tar that `path` stands for, and its images."""
    if listed is None:
        plain_tar = unpacked(path) if is_gzip(path) else path
        return plain_tar, _index(path, plain_tar)
    try:
        size = path.stat().st_size
    except OSError:
        raise DataError(
            f"{path} is missing or cannot be read, and {MANIFEST} beside it names "
            f"{count(len(listed), 'image')} in it."
        ) from None
    check_reach(str(path), size, listed)
    return path, listed


def check_reach(path: str, size: int, listed: Sequence[Entry]) -> None:
    """Raises DataError if a shard of `size` bytes ends before an image that is listed in it."""
    last = max(listed, key=lambda entry: entry.offset + entry.size)
    if last.offset + last.size > size:
        raise DataError(
            f"{path} is cut: {MANIFEST} beside it places {plain(last.key)} at bytes "
            f"{last.offset:,} to {last.offset + last.size:,}, and the file has {size:,}. "
            "`mimic-ray shards verify` names all such shards."
        )


def check_size(path: str, size: int, built: int) -> None:
    """Raises DataError if a shard has not the size that set.json says it was built with."""
    if size != built:
        raise DataError(
            f"{path} has {size:,} bytes and was built with {built:,}: it was cut or changed. Copy "
            "or build it again."
        )


def _manifest_of(folder: Path) -> dict[str, list[Entry]]:
    """shard name -> its entries, of the manifest in `folder`; empty if there is none."""
    by_shard: dict[str, list[Entry]] = {}
    if (folder / MANIFEST).is_file():
        for entry in manifest.read_manifest(folder / MANIFEST):
            by_shard.setdefault(entry.shard, []).append(entry)
    facts = manifest.read_set(folder) if by_shard else None
    for shard in facts.shards if facts else []:
        path = folder / shard.name
        if path.is_file():
            check_size(str(path), path.stat().st_size, shard.bytes)
    return by_shard


def _index(path: Path, plain_tar: Path) -> list[Entry]:
    try:
        identity = path_id(path, f"{file_identity(path)} {_INDEX_VERSION}")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    kept = cache_folder() / "indexes" / f"{identity}.parquet"
    if kept.is_file():
        return manifest.read_manifest(kept)
    entries = image_entries(plain_tar, path.name)
    remember(kept, manifest.to_parquet(entries))
    return entries


def _sha256(file: BinaryIO, member: Member) -> str:
    digest = hashlib.sha256()
    file.seek(member.offset)
    for start in range(0, member.size, 1 << 20):
        digest.update(file.read(min(1 << 20, member.size - start)))
    return digest.hexdigest()


def key_twice(entries: Sequence[Entry]) -> DataError:
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.key in seen:
            break
        seen[entry.key] = entry.shard
    where = f"{plain(seen[entry.key])} and {plain(entry.shard)}"
    return DataError(
        f"The key {plain(entry.key)} occurs twice, in {where}: if these are two sets, name one "
        'by a pattern such as "train-*.tar".'
    )


def _descriptor(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
