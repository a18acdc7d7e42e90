"""Shards in a local folder, read by offset."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from pathlib import Path

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import BrokenImageError, DataError, UnreadImageError
from mimic_ray.base.locks import release
from mimic_ray.data.cache_eviction import evict
from mimic_ray.data.fingerprint import file_identity, path_id
from mimic_ray.data.gzip_tar import is_gzip, tars_in_use, unpacked
from mimic_ray.data.manifest import Entry, Index
from mimic_ray.data.names import IMAGE_LIMIT_BYTES, OVER_LIMIT, as_key
from mimic_ray.data.shard_index import INDEX_VERSION, cached_index, index_tar

_MOST_OPEN = 256  # a process can often open 1,024 files


class LocalShards:
    """A ShardFolder on a file system. A compressed tar is unpacked into the cache folder.

    The first 256 tars stay open as long as this object exists; each read of another one, or with
    `keep_open` False of any, opens it.
    """

    remote = False

    def __init__(self, folder: Path, *, keep_open: bool = True) -> None:
        self._folder, self._keep_open = folder, keep_open
        # By `as_key` of a shard's name, because an index contains only valid UTF-8.
        self._tars: dict[str, Path] = {}  # the plain form of each shard
        self._descriptors: dict[str, int] = {}
        self._eviction_lock = -1
        weakref.finalize(self, _close_all, self._descriptors)

    def shown(self, name: str = "") -> str:
        return str(self._folder / name)

    def names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._folder))  # noqa: PTH208 - names, not paths
        except OSError as error:
            raise _unreadable(self._folder, error) from error

    def read_file(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise _unreadable(path, error) from error

    def open(self, name: str) -> int | None:
        path, shard = self._folder / name, as_key(name)
        try:
            if not path.exists():
                return None
            if not path.is_file():  # opening a pipe would block
                raise DataError(f"{path} cannot be read: it is not a regular file.")
            self._tars[shard] = tar = self._plain(path)
            fits = self._keep_open and len(self._descriptors) < _MOST_OPEN
            if fits and shard not in self._descriptors:
                self._descriptors[shard] = os.open(tar, os.O_RDONLY)
            return tar.stat().st_size
        except OSError as error:
            raise _unreadable(path, error) from error

    def index(self, name: str) -> Index:
        path, shard = self._folder / name, as_key(name)
        try:
            identity = path_id(path, f"{file_identity(path)} {INDEX_VERSION}")
        except OSError as error:
            raise _unreadable(path, error) from error
        return cached_index(identity, lambda: index_tar(self._tars[shard], shard))

    def read_many(self, entries: Sequence[Entry]) -> list[bytes | BrokenImageError]:
        return [self._read(entry) for entry in entries]

    def _plain(self, path: Path) -> Path:
        """The tar itself, or its unpacked form, which stays while this object exists."""
        if not is_gzip(path):
            return path
        self._keep_unpacked(path)
        return unpacked(path)

    def _keep_unpacked(self, first: Path) -> None:
        """Keeps files that are unpacked from now on, as long as this object exists."""
        if self._eviction_lock < 0:
            # Before the lock, which keeps the unpacked files of other sets too.
            evict(cache_dir(), first.stat().st_size)
            self._eviction_lock = tars_in_use()
            weakref.finalize(self, release, self._eviction_lock)

    def _read(self, entry: Entry) -> bytes | BrokenImageError:
        if entry.size > IMAGE_LIMIT_BYTES:
            return BrokenImageError(OVER_LIMIT)
        try:
            if entry.shard in self._descriptors:
                content = os.pread(self._descriptors[entry.shard], entry.size, entry.offset)
            else:
                with self._tars[entry.shard].open("rb") as file:
                    content = os.pread(file.fileno(), entry.size, entry.offset)
        except OSError as error:
            return UnreadImageError(f"cannot be read: {error.strerror or error}")
        if len(content) < entry.size:
            return UnreadImageError("its shard was truncated while in use")
        return content


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror or error}.")


def _close_all(descriptors: dict[str, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)
