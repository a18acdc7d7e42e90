"""A checkpoint of object storage on this machine, fetched once for all of its processes.

With eight workers a node, a ViT-L's checkpoint would be 29 GB of requests and memory instead of
3.7. The first worker fetches it, in parts; the others wait and get links to the same files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError, StorageAwayError, StorageError
from mimic_ray.base.locks import exclusive_lock, try_lock, unlock_and_remove
from mimic_ray.base.storage import Storage
from mimic_ray.data.prefetch import prefetch
from mimic_ray.store.checkpoint_index import MANIFEST
from mimic_ray.store.retry import Retry
from mimic_ray.store.run_folder import CHECKPOINTS

_PART_BYTES = 32 << 20
_REQUESTS = 4


class NodeCopy:
    """`parent` is the folder of all processes of this machine that work on one address; each holds
    a file PROCESS.lock in it."""

    def __init__(self, parent: Path, storage: Storage, retry: Retry) -> None:
        self._parent, self._storage, self._retry = parent, storage, retry
        self._copies, self._lock = parent / "fetched", parent / "fetched.making"

    def bring(self, folder: str, manifest: str, target: Path) -> None:
        """The files of the checkpoint stored as `folder` into `target`; `manifest` is the sha256 of
        its manifest. Raises DamagedCheckpointError for an object that is not what was written."""
        copy = self._copies / folder
        with exclusive_lock(self._lock):
            if not copy.exists():
                shutil.rmtree(self._copies, ignore_errors=True)  # of earlier steps
                with files.disk_errors(copy):
                    self._fetch(folder, manifest, copy)
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            for path in copy.iterdir():
                _link(path, target / path.name)

    def release(self, own_lock: Path) -> None:
        """Deletes the copy, unless another process of this machine works on the address."""
        with suppress(OSError):
            for lock in {*self._parent.glob("*.lock")} - {own_lock}:
                if (descriptor := try_lock(lock)) is None:
                    return
                unlock_and_remove(lock, descriptor)
            shutil.rmtree(self._copies, ignore_errors=True)
            self._lock.unlink(missing_ok=True)

    def _fetch(self, folder: str, manifest: str, copy: Path) -> None:
        unfinished = copy.with_name(f"{copy.name}.tmp-{os.getpid()}")
        unfinished.mkdir(parents=True)
        try:
            name = f"{CHECKPOINTS}/{folder}/{MANIFEST}"
            self._checked(name, None, manifest, unfinished / MANIFEST)
            written = json.loads((unfinished / MANIFEST).read_bytes())["files"]
            for file, facts in written.items():
                name = f"{CHECKPOINTS}/{folder}/{file}"
                self._checked(name, facts["bytes"], facts["sha256"], unfinished / file)
            unfinished.replace(copy)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _checked(self, name: str, size: int | None, sha256: str, path: Path) -> None:
        """Writes the object to `path`, in parts if its size is known."""
        found = hashlib.sha256()
        try:
            with path.open("wb") as file:
                for part in self._parts(name, size):
                    found.update(part)
                    file.write(part)
        except StorageAwayError:
            raise
        except StorageError:
            if self._retry(lambda: self._storage.exists(name)):
                raise  # for example denied
            found = hashlib.sha256(b"missing")
        if found.hexdigest() != sha256:
            raise DamagedCheckpointError(
                f"{self._storage.shown(name)} is damaged or missing (its sha256 is not the one "
                "that was written): restore it from a copy, or delete "
                f"{Path(name).parent.as_posix()}/ there to continue from the step before."
            )

    def _parts(self, name: str, size: int | None) -> Iterator[bytes]:
        if size is None:
            yield self._retry(lambda: self._storage.read_bytes(name))
            return
        parts = prefetch(
            lambda start: self._retry(lambda: self._storage.read_range(name, start, _PART_BYTES)),
            range(0, size, _PART_BYTES),
            ahead=_REQUESTS,
            threads=_REQUESTS,
        )
        with closing(parts):
            yield from parts


def _link(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, target)
