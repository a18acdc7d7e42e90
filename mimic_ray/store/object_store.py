"""A store in object storage, with a working folder for each process.

Processes that work on the same run or study need no disk in common. Nothing can be renamed in
object storage: each file is replaced as a whole, and a checkpoint counts once latest.json names it
(published_checkpoint.py).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import MimicError
from mimic_ray.base.locks import try_lock, unlock_and_remove
from mimic_ray.base.output_folder import require_writable
from mimic_ray.base.storage import open_storage
from mimic_ray.store.background_writer import BackgroundWriter
from mimic_ray.store.node_copy import NodeCopy
from mimic_ray.store.published_checkpoint import PublishedCheckpoints
from mimic_ray.store.retry import Retry
from mimic_ray.store.run_folder import LOG, RunFolder


class ObjectStore:
    """See `Store`. Requests are repeated while the storage does not answer (retry.py).

    Two commands that use the same address and `owner` on one machine get separate folders.
    """

    is_remote = True
    progress_interval_s = 10.0

    def __init__(self, address: str, owner: str) -> None:
        self._storage = open_storage(address)
        self.folder, self._lock, self._descriptor = _own_folder(address, owner)
        self._retry = Retry()
        self._background = BackgroundWriter(self._storage)
        self._copy = NodeCopy(self.folder.parent, self._storage, self._retry)
        self._checkpoints = PublishedCheckpoints(self._storage, self._retry, self._copy)

    def __str__(self) -> str:
        return self._storage.shown()

    def location(self, name: str = "") -> str:
        return self._storage.shown(name)

    def names(self) -> list[str]:
        """Also deletes the copies of an earlier process that was killed."""
        names = require_writable(self._storage)
        shutil.rmtree(self.folder, ignore_errors=True)
        return names

    def read(self, name: str) -> bytes | None:
        def read() -> bytes | None:
            return self._storage.read_bytes(name) if self._storage.exists(name) else None

        return self._retry(read)

    def fetch(self, wanted: Callable[[str], bool]) -> None:
        self._empty_folder()
        for found in self._retry(self._storage.list):
            if wanted(found.name):
                self.fetch_file(found.name)

    def fetch_file(self, name: str) -> bool:
        content = self.read(name)
        if content is None:
            return False
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return True

    def publish(self, *names: str) -> None:
        for name in names:
            self._retry(partial(self._storage.write, name, self.folder / name))

    def fetch_checkpoint(self) -> None:
        self._checkpoints.fetch(RunFolder(self.folder))

    def publish_checkpoint(self, step: int) -> None:
        self._checkpoints.publish(RunFolder(self.folder), step)

    def delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)
        self._retry(lambda: self._storage.delete(name))

    def delete_folder(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self._retry(lambda: self._storage.delete_folder(name))

    def clear(self) -> None:
        with suppress(MimicError):
            for found in self._storage.list():
                self._storage.delete(found.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def try_read(self, name: str) -> bytes | None:
        with suppress(MimicError):
            return self._storage.read_bytes(name)
        return None

    def try_write(self, name: str, content: bytes) -> None:
        self._background.write(name, content)

    def shorten_timeouts(self) -> None:
        self._retry.shorten()

    @contextmanager
    def errors_at_location(self) -> Iterator[None]:
        try:
            yield
        except MimicError as error:
            error.template = error.template.replace(str(self.folder), str(self))
            if len(error.args) == 1:
                error.args = (error.template,)  # these are what pickling keeps
            raise

    def close(self) -> None:
        self._background.settle()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._copy.release(self._lock)
        unlock_and_remove(self._lock, self._descriptor)
        self._descriptor = -1
        with suppress(OSError):  # other processes use the same address
            self.folder.parent.rmdir()

    def _empty_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOG:  # this process may be writing it
                path.unlink()


def _own_folder(address: str, owner: str) -> tuple[Path, Path, int]:
    """A folder that no other process uses, the file that locks it, and the lock's descriptor."""
    parent = cache_dir() / "runs" / hashlib.sha256(address.encode()).hexdigest()[:16]
    for number in count():
        name = f"{owner}-{number}" if number else owner
        lock = parent / f"{name}.lock"
        descriptor = try_lock(lock)
        if descriptor is not None:
            return parent / name, lock, descriptor
    raise AssertionError  # count() does not end
