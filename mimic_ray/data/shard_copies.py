"""Copies of remote shards on local disk.

The images of an epoch are in random order, so reading them from object storage costs a request
each. A machine instead fetches each shard once, whole, in a few large requests; its processes share
the copies, and no request for an image leaves the machine. An image whose shard is still on its way
waits for it, and that shard is fetched before the others.

Shards that do not all fit are fetched in the order in which they are needed, and the least recently
used ones are removed. A copy may vanish at any time, then, and is fetched again if it is needed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, closing, suppress
from itertools import islice
from pathlib import Path
from threading import Lock, Thread
from typing import BinaryIO

from mimic_ray.base import files
from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import DiskFullError, StorageError
from mimic_ray.base.locks import exclusive_lock, release
from mimic_ray.base.storage import Found, Storage
from mimic_ray.data.cache_eviction import evict, items_of, limit_bytes
from mimic_ray.data.gzip_tar import tars_in_use
from mimic_ray.data.prefetch import prefetch

# About a thousand photographs: a request of 100 ms adds little to its transfer.
_PART_BYTES = 32 << 20
_REQUESTS = 8
_SHARDS = 4  # at a time
# What must stay free on the disk.
_SPARE_BYTES = 1 << 30
# Shards that are fetched before they are needed, where not all fit.
_AHEAD = 4
# Of the cache folder, where not all fit: the rest is for indexes and a few decoded images.
_SHARE = 0.9
# How often a copy may vanish between its arrival and its use.
_TRIES = 20


class ShardCopies:
    """The copies of some shards of one address. Thread-safe.

    All are fetched at once. If they are `too_large`, they are fetched as `expect` says, and stay
    within the limit of the cache folder.
    """

    def __init__(
        self, storage: Storage, shards: Mapping[str, Found], too_large: bool = False
    ) -> None:
        self._storage, self._shards = storage, shards
        self._paths = {name: self._path_of(found) for name, found in shards.items()}
        own = {*self._paths.values()}
        wanted = sum(shard.size for shard in shards.values())
        most = _SHARE * limit_bytes()
        wanted = int(min(wanted, most)) if too_large else wanted
        there = sum(shards[n].size for n, path in self._paths.items() if path.is_file())
        evict(cache_dir(), max(0, wanted - there), own)
        others = sum(item.size for item in items_of(cache_dir()) if item.path not in own)
        self._budget = min(most, limit_bytes() - others) if too_large else None
        # Only now, because the lock keeps all tars.
        weakref.finalize(self, release, tars_in_use())
        self._lock = Lock()
        self._copies: dict[str, Future[Path]] = {}
        self._queue: deque[str] = deque()
        self._coming: dict[str, None] = {}
        self._expected = set() if too_large else set(shards)
        self._threads = 0
        if not too_large:
            # Several processes of a machine begin at different shards.
            process = str(os.getpid())
            with self._lock:
                for name in sorted(shards, key=lambda name: _hash(process, name)):
                    self._ask(name)

    def __contains__(self, name: str) -> bool:
        """Whether the shard is, or was, expected; for an image of another one, a range will do."""
        return name in self._expected

    def expect(self, names: Iterable[str]) -> None:
        """Fetches these shards ahead of their use, in this order."""
        with self._lock:
            self._coming = dict.fromkeys(names)
            self._expected.update(self._coming)
            self._ask_ahead()

    def open(self, name: str) -> BinaryIO:
        """The copy of a shard; waits until it is whole. Raises StorageError, DiskFullError."""
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):  # it was evicted for another
                path = self.path(name)
                file = path.open("rb")
                if self._budget is not None:
                    os.utime(file.fileno())  # the least recently used ones are evicted
                return file
        raise DiskFullError(
            f"The cache folder {cache_dir()} is too small for the workers of this machine.",
            "Set MIMIC_RAY_CACHE_GIB to a higher limit, or build smaller shards.",
        )

    def path(self, name: str) -> Path:
        """Where the copy is, once it is whole."""
        with self._lock:
            self._coming.pop(name, None)
            copy = self._ask(name, now=True)
            self._ask_ahead()
        return copy.result()

    def _ask_ahead(self) -> None:
        for name in list(islice(self._coming, _AHEAD)):
            self._ask(name)
            with suppress(OSError):  # it is on its way
                os.utime(self._paths[name])  # what was used and is not needed is evicted first

    def _ask(self, name: str, now: bool = False) -> Future[Path]:
        """The copy that is there or on its way; `now` before the others. Holds the lock."""
        copy = self._copies.get(name)
        if copy and copy.done():
            failed = copy.exception() is not None
            copy = None if (now if failed else not self._paths[name].is_file()) else copy
        if copy is None:
            copy = self._copies[name] = Future()
            self._queue.append(name)
            if self._threads < _SHARDS:
                self._threads += 1
                self._start_thread()
        if now and name in self._queue:
            self._queue.remove(name)
            self._queue.appendleft(name)
        return copy

    def _start_thread(self) -> None:
        # A daemon, so that the end of the process does not wait for the rest of the set.
        Thread(target=self._work, name="shard copies", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                name = self._queue.popleft()
                copy = self._copies[name]
            try:
                copy.set_result(self._copy(name))
            except BaseException as error:  # raised by the thread that reads from the copy
                copy.set_exception(error)

    def _path_of(self, shard: Found) -> Path:
        identity = _hash(self._storage.shown(shard.name), str(shard.size), str(shard.modified_s))
        return cache_dir() / "tars" / f"{identity[:32]}.tar"

    def _copy(self, name: str) -> Path:
        path = self._paths[name]
        # One process of the machine fetches it, the others wait.
        with exclusive_lock(cache_dir() / "locks" / f"{path.stem}.making"):
            with suppress(FileNotFoundError):
                os.utime(path)  # eviction takes the least recently used
                return path
            with files.disk_errors(path):
                self._fetch(name, self._shards[name].size, path)
        return path

    def _fetch(self, name: str, size: int, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".tmp-{os.getpid()}")
        parts = prefetch(
            lambda start: self._storage.read_range(name, start, _PART_BYTES),
            range(0, size, _PART_BYTES),
            ahead=_REQUESTS // _SHARDS,
            threads=_REQUESTS // _SHARDS,
        )
        try:
            self._free_space(temporary, size)
            with closing(parts), temporary.open("r+b") as file:
                written = sum(map(file.write, parts))
            if written != size:
                raise StorageError(
                    f"{self._storage.shown(name)} changed while it was read: run the command again."
                )
            with _space_lock():  # another thread that counts the files sees one of the two names
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _free_space(self, temporary: Path, size: int) -> None:
        """Creates the file with its size, which counts for the other processes of the machine."""
        with _space_lock():
            if self._budget is not None:
                own = {path.stem for path in self._paths.values()}
                there = [p for p in temporary.parent.iterdir() if p.name.partition(".")[0] in own]
                facts = [(p, found) for p in there if (found := _stat(p))]
                left = self._budget - size - sum(found.st_size for _, found in facts)
                for path, found in sorted(facts, key=lambda fact: fact[1].st_mtime_ns):
                    if left >= 0:
                        break
                    if path.suffix == ".tar":
                        path.unlink(missing_ok=True)
                        left += found.st_size
            with temporary.open("wb") as file:
                file.truncate(size)


def _space_lock() -> AbstractContextManager[None]:
    return exclusive_lock(cache_dir() / "locks" / "tars.space")


def fits(shards: Iterable[Found]) -> bool:
    """Whether the cache folder has space for all of these shards at once."""
    needed = sum(shard.size for shard in shards)
    # Evicting the cache frees disk space as well.
    return needed <= limit_bytes() and needed + _SPARE_BYTES <= _free() + _held()


def fits_some(shards: Iterable[Found], used: int) -> bool:
    """The same for those that are fetched ahead and `used` more, which are read at a time."""
    needed = (used + _AHEAD) * max(shard.size for shard in shards)
    return needed <= _SHARE * limit_bytes() and needed + _SPARE_BYTES <= _free() + _held()


def _free() -> int:
    folder = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    return shutil.disk_usage(folder).free


def _held() -> int:
    tars = cache_dir() / "tars"
    return sum(path.stat().st_size for path in tars.glob("*.tar")) if tars.is_dir() else 0


def _stat(path: Path) -> os.stat_result | None:
    with suppress(OSError):  # another process has just moved it
        return path.stat()
    return None


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="replace")).hexdigest()
