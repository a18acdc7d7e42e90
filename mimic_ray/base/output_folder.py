"""The new folder that a command writes, at a path or an address.

out = Out("s3://bucket/profile")      # before the long work: refused if it cannot be
with out.new_folder() as unfinished:  # after it
    (unfinished / "profile.png").write_bytes(...)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from mimic_ray.base import files
from mimic_ray.base.errors import MimicError, WrongFolderError
from mimic_ray.base.storage import Storage, open_storage
from mimic_ray.base.storage_address import is_remote, parse

_PROBE = ".probe"


class Out:
    """Raises WrongFolderError if the location is not empty, StorageError if it is not reached."""

    def __init__(self, location: str | Path) -> None:
        self._storage: Storage | None = None
        self._folder = Path(parse(location).path)
        if not is_remote(location):
            self._folder = self._folder.absolute()
            if Path.cwd().is_relative_to(self._folder.resolve()):
                raise WrongFolderError(
                    f"{self._folder} is the working folder or above it: give a folder to create."
                )
            files.require_empty(self._folder)
            return
        self._storage = open_storage(location)
        if found := require_writable(self._storage):
            raise WrongFolderError(f'{self} holds "{found[0]}": give an address that is empty.')

    def __str__(self) -> str:
        return self._storage.shown() if self._storage else str(self._folder)

    def at(self, name: str = "") -> Path | str:
        """Where a reader finds the folder, or a file of it."""
        return self._storage.shown(name) if self._storage else self._folder / name

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """Yields a temporary folder, which is stored as a whole if the block raises no error."""
        if not self._storage:
            with files.new_folder(self._folder) as unfinished:
                yield unfinished
            return
        with TemporaryDirectory(prefix="mimic-ray-") as scratch:
            yield Path(scratch)
            made = [path for path in sorted(Path(scratch).rglob("*")) if path.is_file()]
            names = [path.relative_to(scratch).as_posix() for path in made]
            try:
                for name, path in zip(names, made, strict=True):
                    self._storage.write(name, path)
            except BaseException:
                with suppress(MimicError):
                    for name in names:
                        self._storage.delete(name)
                raise


def require_writable(storage: Storage) -> list[str]:
    """The names of the stored files. Raises StorageError if nothing can be written.

    A small file is written and deleted, so that no work begins whose result cannot be stored. One
    that a killed command left is not listed, as Ray's own files are not.
    """
    names = [found.name for found in storage.list()]
    storage.write(_PROBE, b"")
    storage.delete(_PROBE)
    return [name for name in names if name != _PROBE and not name.startswith(".ray/")]
