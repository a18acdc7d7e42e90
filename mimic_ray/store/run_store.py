"""Where a run lies: a folder, or an address of object storage with a folder to work in.

Whoever works on a run does so in `place.folder` and says what others must see of it. For a folder
that is nothing, since they see it anyway; for an address (store/remote_run_store.py) it is put
there.

    place = place_of("s3://bucket/run", "driver")
    place.fetch()                     # what is there, into place.folder
    commit: place.commit(120, state)  # now it counts
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import MimicError, RunFolderError
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import is_remote, parse
from mimic_ray.store.checkpoint import commit
from mimic_ray.store.progress_file import LiveStore
from mimic_ray.store.run_folder import RECORD, RunFolder
from mimic_ray.store.run_record import RunRecord

# Names the command that may write, so that one which was thought dead does not.
CLAIM = ".claim"


class Place:
    """A folder of this machine, or of a disk that all machines share."""

    remote = False

    def __init__(self, folder: Path) -> None:
        self.folder = RunFolder(folder)
        self.claimed = ""  # what `claim` gave

    def __str__(self) -> str:
        return str(self.folder.path)

    def at(self, name: str = "") -> Path | str:
        """Where others find the run, or a file of it: a path, or an address."""
        return self.folder.path / name

    @property
    def live(self) -> LiveStore:
        return LiveStore(self.folder.path)

    def require_free(self) -> None:
        """Raises RunFolderError if something lies there already."""
        RunFolder.require_free(self.folder.path)

    def fetch(self, *, checkpoint: bool = True) -> None:
        """Makes `folder` what the others have written. Raises StorageError."""

    def claim(self) -> str:
        """From here on the run is this command's, and no other's that was at work on it.

        Its workers show the answer to `check_claim` before they commit. Raises StorageError.
        """
        self.claimed = secrets.token_hex(8)
        files.write_text(self.folder.path / CLAIM, self.claimed)
        self.put(CLAIM)
        return self.claimed

    def check_claim(self, claimed: str) -> None:
        """Raises RunFolderError where another command has claimed the run since; "" is never so."""
        if claimed and self._claim() != claimed:
            raise RunFolderError(
                f"Another command has begun to work on {self}: this one stops and writes nothing "
                "more there. What it had committed is kept."
            )

    def _claim(self) -> str | None:
        path = self.folder.path / CLAIM
        return path.read_text() if path.exists() else None

    def _release(self) -> None:
        """The run is nobody's again, if it was ours."""
        if self.claimed and self._claim() == self.claimed:
            self.drop(CLAIM)

    @contextmanager
    def named(self) -> Iterator[None]:
        """What is wrong with a file of `folder` is said of the file that it is a copy of."""
        yield

    def put(self, *names: str) -> None:
        """Files of `folder` that others must see now. Raises StorageError."""

    def drop(self, name: str) -> None:
        """A file goes, here and for others; one that is not there is no error."""
        (self.folder.path / name).unlink(missing_ok=True)

    def drop_checkpoints(self) -> None:
        """What only a resume needs goes, here and for others."""
        shutil.rmtree(self.folder.checkpoints, ignore_errors=True)

    def write_record(self, record: RunRecord) -> None:
        """run.json, where it counts."""
        record.write(self.folder.record)
        self.put(self.folder.record.name)

    def commit(self, step: int, state: Mapping[str, Any]) -> None:
        """Makes `state` the latest checkpoint; see store/checkpoint.py."""
        commit(self.folder, step, state)

    def put_results(self) -> None:
        """All that a finished run has, run.json last. Raises StorageError."""

    def hurry(self) -> None:
        """From here on no long waiting for a storage that is away."""

    def remove(self) -> None:
        """Leaves nothing of a run that has nothing."""
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def leave(self) -> None:
        """This process has done its part: what only it needed goes."""

    def close(self) -> None:
        """The work is over: what only it needed goes. Only for a run that was begun here."""
        shutil.rmtree(self.folder.path / ".ray", ignore_errors=True)
        with suppress(OSError, MimicError):
            self._release()


def place_of(run: str | Path, who: str) -> Place:
    """The place of a run; `who` names this process among those that work on it from one machine.

    Raises UsageError, StorageError for an address that cannot be.
    """
    if not is_remote(run):
        return Place(Path(parse(run).path))
    from mimic_ray.store.remote_run_store import RemotePlace

    return RemotePlace(str(run), who)


@contextmanager
def reading(run: str | Path) -> Iterator[RunFolder]:
    """A run's folder, to read results from: itself, or of an address a copy that goes again.

    Raises StorageError.
    """
    place = place_of(run, f"reader-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        place.fetch(checkpoint=False)
        with place.named():
            yield place.folder
    finally:
        place.leave()


def is_run(place: str | Path) -> bool:
    """Whether a run may lie there, rather than a file. Raises StorageError."""
    if is_remote(place):
        return open_storage(place).exists(RECORD)
    return Path(parse(place).path).is_dir()
