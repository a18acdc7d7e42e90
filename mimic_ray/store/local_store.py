"""A store in a folder of this machine, or of a disk that all machines share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import WrongFolderError, option
from mimic_ray.store.run_folder import UNFINISHED


class LocalStore:
    """See `Store`. Other processes read `folder` itself, so there is nothing to fetch or publish.

    Files in it are written by rename (base/files.py, checkpoint.py).
    """

    is_remote = False
    progress_interval_s = 3.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def location(self, name: str = "") -> Path:
        return self.folder / name

    def names(self) -> list[str]:
        """Raises WrongFolderError for a file instead of a folder, and one that cannot be made."""
        if not self.folder.exists():
            files.require_creatable(self.folder)
            return []
        if not self.folder.is_dir():
            raise WrongFolderError(
                f"{self} is a file: set {option('out')} to a new or empty folder."
            )
        found = {*self.folder.iterdir()} - {*self.folder.glob(UNFINISHED)}
        return sorted(path.name for path in found)

    def read(self, name: str) -> bytes | None:
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def fetch(self, wanted: Callable[[str], bool]) -> None:
        """The folder is what is stored."""

    def fetch_file(self, name: str) -> bool:
        return (self.folder / name).exists()

    def publish(self, *names: str) -> None:
        """The folder is what is stored."""

    def fetch_checkpoint(self) -> None:
        """The folder is what is stored."""

    def publish_checkpoint(self, step: int) -> None:
        """The folder is what is stored."""

    def delete(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def delete_folder(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def try_read(self, name: str) -> bytes | None:
        with suppress(OSError):
            return self.read(name)
        return None

    def try_write(self, name: str, content: bytes) -> None:
        """By rename, so that readers never see half a file; not synced to the disk."""
        with suppress(OSError):
            # `UNFINISHED` matches this name.
            unfinished = self.folder / f".{name}.tmp-shown"
            unfinished.write_bytes(content)
            unfinished.replace(self.folder / name)

    def shorten_timeouts(self) -> None:
        """A disk has no timeouts."""

    @contextmanager
    def errors_at_location(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        """There are no copies."""
