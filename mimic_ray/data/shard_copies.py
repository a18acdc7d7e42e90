"""Copies of remote shards on local disk.

The images of an epoch are in random order, so reading them from object storage costs a request
each. A machine instead fetches each shard once, whole, in a few large requests; its processes share
the copies, and no request for an image leaves the machine. An image whose shard is still on its way
waits for it, and that shard is fetched before the others.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from threading import Lock, Thread

from mimic_ray.base import files
from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import StorageError
from mimic_ray.base.locks import exclusive_lock, release
from mimic_ray.base.storage import Found, Storage
from mimic_ray.data.cache_eviction import evict, limit_bytes
from mimic_ray.data.gzip_tar import tars_in_use
from mimic_ray.data.prefetch import prefetch

# About a thousand photographs: a request of 100 ms adds little to its transfer.
_PART_BYTES = 32 << 20
_REQUESTS = 8
_SHARDS = 4  # at a time
# What must stay free on the disk.
_SPARE_BYTES = 1 << 30


class ShardCopies:
    """The copies of some shards of one address. Thread-safe; fetching begins at once."""

    def __init__(self, storage: Storage, shards: Mapping[str, Found]) -> None:
        self._storage, self._shards = storage, shards
        weakref.finalize(self, release, tars_in_use())
        evict(cache_dir(), sum(shard.size for shard in shards.values()))
        self._lock = Lock()
        self._copies: dict[str, Future[Path]] = {name: Future() for name in shards}
        # Several processes of a machine begin at different shards.
        own = str(os.getpid())
        self._queue = deque(sorted(shards, key=lambda name: _hash(own, name)))
        for _ in range(min(_SHARDS, len(shards))):
            self._start_thread()

    def path(self, name: str) -> Path:
        """The copy of a shard; waits until it is whole. Raises StorageError, DiskFullError."""
        with self._lock:
            copy = self._copies[name]
            if copy.done() and copy.exception():  # another try
                self._copies[name] = copy = Future()
                self._queue.appendleft(name)
                self._start_thread()
            elif name in self._queue:  # now, before the others
                self._queue.remove(name)
                self._queue.appendleft(name)
        return copy.result()

    def _start_thread(self) -> None:
        # A daemon, so that the end of the process does not wait for the rest of the set.
        Thread(target=self._work, name="shard copies", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    return
                name = self._queue.popleft()
                copy = self._copies[name]
            try:
                copy.set_result(self._copy(name))
            except BaseException as error:  # raised by the thread that reads from the copy
                copy.set_exception(error)

    def _copy(self, name: str) -> Path:
        shard = self._shards[name]
        identity = _hash(self._storage.shown(name), str(shard.size), str(shard.modified_s))[:32]
        path = cache_dir() / "tars" / f"{identity}.tar"
        # One process of the machine fetches it, the others wait.
        with exclusive_lock(cache_dir() / "locks" / f"{identity}.making"):
            if path.is_file():
                os.utime(path)  # eviction takes the least recently used
            else:
                with files.disk_errors(path):
                    self._fetch(name, shard.size, path)
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
            with closing(parts), temporary.open("wb") as file:
                for part in parts:
                    file.write(part)
            if temporary.stat().st_size != size:
                raise StorageError(
                    f"{self._storage.shown(name)} changed while it was read: run the command again."
                )
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def fits(shards: Iterable[Found]) -> bool:
    """Whether the cache folder has room for all of these shards at once."""
    needed = sum(shard.size for shard in shards)
    folder = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    # What is in the cache can make room on the disk as well.
    return (
        needed <= limit_bytes()
        and needed + _SPARE_BYTES <= shutil.disk_usage(folder).free + _held()
    )


def _held() -> int:
    tars = cache_dir() / "tars"
    return sum(path.stat().st_size for path in tars.glob("*.tar")) if tars.is_dir() else 0


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="replace")).hexdigest()
