"""Where a set of shards is built: in a new folder, or at an address, shard by shard.

Nothing can be renamed in object storage, so a set counts once its manifest is there, which is
written last. Until then building.json says that the set is not whole, and lists the shards
that are: the same command continues with the others.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from mimic_ray.base import files
from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import DataError, StorageError, WrongFolderError, option
from mimic_ray.base.output_folder import require_writable
from mimic_ray.base.storage import Storage, open_storage
from mimic_ray.base.storage_address import is_remote, parse
from mimic_ray.base.text import plain
from mimic_ray.data.manifest import BUILDING, CLASSES, MANIFEST, SET, ShardFacts

_OF_A_SET = re.compile(
    rf"images-\d{{5,}}\.tar|{'|'.join(map(re.escape, (BUILDING, CLASSES, SET, MANIFEST)))}"
)


class ShardOutput(Protocol):
    """Files of the set are written to `folder`."""

    folder: Path

    def keep(self, shard: ShardFacts) -> None:
        """Takes a shard that is written; it may be moved from `folder`."""
        ...


@contextmanager
def new_set(out: str | Path) -> Iterator[ShardOutput]:
    """The output of a new set, which is whole after the block and does not exist if it fails.

    At an address, what is uploaded stays if the storage fails or the process is stopped.
    Raises WrongFolderError if something else is there, StorageError, DiskFullError.
    """
    if is_remote(out):
        parent = cache_dir() / "tars"
        parent.mkdir(parents=True, exist_ok=True)
        # The name is that of an unfinished file, which eviction removes after a kill.
        prefix = f"set.tmp-{os.getpid()}-"
        advice = "Set MIMIC_RAY_CACHE to a folder on another disk, then run the command again."
        with (
            files.disk_errors(parent, advice),
            TemporaryDirectory(prefix=prefix, dir=parent) as folder,
        ):
            yield from _uploaded(_Uploads(open_storage(out), Path(folder)))
        return
    path = Path(parse(out).path)
    files.require_empty(path)
    advice = f"Set {option('out')} to a folder on another disk. Nothing was written."
    with files.disk_errors(path, advice), files.new_folder(path) as unfinished:
        yield _Folder(unfinished)


class _Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, shard: ShardFacts) -> None:
        """It is where it belongs."""


class _Uploads:
    """Uploads one shard in a thread while the next is built, so two are on disk at most."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        self.folder, self._storage = folder, storage
        require_writable(storage)
        # Shards that an earlier build stored, until this one has built them too.
        self._earlier = {shard.name: shard for shard in self._stored_shards()}
        self._stored: list[ShardFacts] = []
        self._note()
        self._thread = ThreadPoolExecutor(1, "shard uploads")
        self._upload: Future[None] | None = None

    def keep(self, shard: ShardFacts) -> None:
        self._settle()
        earlier = self._earlier.pop(shard.name, None)
        if earlier not in (None, shard):
            raise self._other_set(shard.name)
        self._upload = self._thread.submit(self._store, shard, earlier is not None)

    def finish(self) -> None:
        """Stores what is left in the folder, the manifest last."""
        self._settle()
        if self._earlier:
            raise self._other_set(next(iter(self._earlier)))
        for name in (CLASSES, SET, MANIFEST):
            if (self.folder / name).exists():
                self._storage.write(name, self.folder / name)
        self._storage.delete(BUILDING)

    def remove(self) -> None:
        """Deletes all that was uploaded, as far as possible."""
        with suppress(StorageError):
            self._settle()
            for found in self._storage.list(recursive=False):
                self._storage.delete(found.name)

    def close(self) -> None:
        """Waits for the upload in progress."""
        self._thread.shutdown()

    def _store(self, shard: ShardFacts, stored: bool) -> None:
        if not stored:
            self._storage.write(shard.name, self.folder / shard.name)
        self._stored.append(shard)
        self._note()
        (self.folder / shard.name).unlink()

    def _note(self) -> None:
        shards = [asdict(each) for each in (*self._stored, *self._earlier.values())]
        content = {"about": "This set is not whole.", "shards": shards}
        self._storage.write(BUILDING, json.dumps(content, indent=2).encode())

    def _settle(self) -> None:
        if self._upload:
            self._upload.result()
        self._upload = None

    def _stored_shards(self) -> list[ShardFacts]:
        """The whole shards of an unfinished set. Raises WrongFolderError for anything else."""
        found = {each.name: each.size for each in self._storage.list()}
        others = [name for name in found if not _OF_A_SET.fullmatch(name)]
        if found and (others or BUILDING not in found):
            raise WrongFolderError(
                f'{self._storage.shown()} holds "{plain((others or list(found))[0])}": set '
                f"{option('out')} to an address that is empty."
            )
        if not found:
            return []
        try:
            content = json.loads(self._storage.read_bytes(BUILDING))
            shards = [ShardFacts(**each) for each in content["shards"]]
        except (ValueError, TypeError, KeyError) as error:
            raise self._other_set(BUILDING) from error
        return [shard for shard in shards if found.get(shard.name) == shard.bytes]

    def _other_set(self, name: str) -> WrongFolderError:
        return WrongFolderError(
            f"{self._storage.shown()} holds an unfinished set of other images or settings ({name} "
            "differs): repeat the command that began it, delete it, or set another "
            f"{option('out')}."
        )


def _uploaded(uploads: _Uploads) -> Iterator[_Uploads]:
    try:
        yield uploads
        uploads.finish()
    except DataError:  # the images are at fault: no repetition can end otherwise
        uploads.remove()
        raise
    finally:
        uploads.close()
