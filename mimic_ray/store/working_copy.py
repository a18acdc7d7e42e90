"""Files at an address of object storage, and a folder of this process with copies of them.

What counts is at the address. Each process works in a folder of its own, made anew when it begins:
those that work on one run or study need no disk in common.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import MimicError, RunFolderError
from mimic_ray.base.locks import give_back, take
from mimic_ray.base.output_folder import require_writable
from mimic_ray.base.storage import Found, open_storage
from mimic_ray.store.retry import Patience

T = TypeVar("T")
# This process may be writing it while the rest is made anew.
_LOG = "ray.log"


class Mirror:
    """`path` is the folder, `storage` what it mirrors; a storage that is away is waited for.

    `who` names the part of this process among those that work on the same address from one machine;
    two with the same part, of two commands, have two folders. Methods raise StorageError.
    """

    def __init__(self, address: str, who: str) -> None:
        self.storage = open_storage(address)
        name = hashlib.sha256(address.encode()).hexdigest()[:16]
        self._taken: int | None = None
        numbers = count()
        while self._taken is None:
            number = next(numbers)
            own = f"{who}-{number}" if number else who
            self.path = cache_dir() / "runs" / name / own
            self._lock = self.path.with_name(f"{own}.lock")
            self._taken = take(self._lock)
        self._patience = Patience()

    def patiently(self, call: Callable[[], T]) -> T:
        return self._patience(call)

    def hurry(self) -> None:
        """From here on no long waiting for a storage that is away."""
        self._patience.hurry()

    def require_free(self, record: str, kind: str) -> None:
        """Raises RunFolderError where a `kind` lies, which has a `record`, or anything foreign."""
        found = require_writable(self.storage)
        place = self.storage.shown()
        if record in found:
            raise RunFolderError(
                f"{place} holds another {kind}: continue it with --resume, or give another --out."
            )
        if found:
            raise RunFolderError(
                f'{place} holds "{found[0]}", which is no part of a {kind}: give an address that '
                "is empty as --out."
            )
        # Of an earlier work that was killed here.
        shutil.rmtree(self.path, ignore_errors=True)

    def start_anew(self) -> None:
        """An empty folder, but for a log that this process may be writing."""
        self.path.mkdir(parents=True, exist_ok=True)
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOG:
                path.unlink()

    def listed(self) -> list[Found]:
        return self.patiently(self.storage.list)

    def read(self, name: str) -> bytes | None:
        """None if there is no such file."""

        def read() -> bytes | None:
            return self.storage.read_bytes(name) if self.storage.exists(name) else None

        return self.patiently(read)

    def fetch(self, name: str) -> None:
        """One file into the folder."""
        target = self.path / name
        content = self.patiently(lambda: self.storage.read_bytes(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def put(self, name: str, source: Path | None = None) -> None:
        """A file of the folder, or `source`, to where others see it."""
        self.patiently(lambda: self.storage.write(name, source or self.path / name))

    def drop(self, name: str) -> None:
        """A file goes, here and there."""
        (self.path / name).unlink(missing_ok=True)
        self.patiently(lambda: self.storage.delete(name))

    def drop_folder(self, name: str) -> None:
        """A folder goes, here and there."""
        shutil.rmtree(self.path / name, ignore_errors=True)
        self.patiently(lambda: self.storage.delete_folder(name))

    def remove(self) -> None:
        """Leaves nothing, here and there, as far as the storage lets."""
        with suppress(MimicError):
            for found in self.storage.list():
                self.storage.delete(found.name)
        self.leave()

    def leave(self) -> None:
        """The copies go."""
        shutil.rmtree(self.path, ignore_errors=True)
        give_back(self._lock, self._taken or -1)
        self._taken = -1
        with suppress(OSError):  # others work on the same address
            self.path.parent.rmdir()

    @contextmanager
    def named(self) -> Iterator[None]:
        """What is wrong with a file of the folder is said of the file that it is a copy of."""
        try:
            yield
        except MimicError as error:
            error.template = error.template.replace(str(self.path), self.storage.shown())
            if len(error.args) == 1:
                error.args = (error.template,)  # what a pickle of it keeps
            raise
