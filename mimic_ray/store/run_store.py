"""A run in a store: its folder, its lease, its checkpoints and its results.

run = open_run("s3://bucket/run", "driver")
run.fetch()                      # what is stored, into run.folder
run.commit(120, state)           # from here on a killed run resumes at step 120
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError, RunFolderError
from mimic_ray.base.hub_address import is_hub
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import is_remote, parse
from mimic_ray.store.checkpoint import commit
from mimic_ray.store.lease import Lease
from mimic_ray.store.progress_file import PROGRESS
from mimic_ray.store.run_folder import CHECKPOINTS, RECORD, TENSORBOARD, RunFolder
from mimic_ray.store.run_record import RunRecord, parse_record
from mimic_ray.store.store import Occupant, Store, open_store, require_free
from mimic_ray.weight_files.folder_search import holds_weights

# Ray Train's own files, which are not needed after the command has ended.
_RAY_FILES = ".ray"


class RunStore:
    """One run. `folder` is what this process reads and writes; `store` says where it is kept."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = RunFolder(store.folder)
        self.lease = Lease(store)

    def __str__(self) -> str:
        return str(self.store)

    def require_free(self) -> None:
        """Raises RunFolderError if anything is stored there already."""
        require_free(self.store, RECORD, "run", _occupant)

    def fetch(self, *, checkpoint: bool = True, others: bool = True) -> None:
        """Makes `folder` equal to what is stored, `others` being all but the checkpoint.

        Raises StorageError.
        """
        self.store.fetch(_is_no_checkpoint if others else lambda _: False)
        if checkpoint:
            self.store.fetch_checkpoint()

    def write_record(self, record: RunRecord) -> None:
        """Stores run.json."""
        record.write(self.folder.record)
        self.store.publish(RECORD)

    def commit(self, step: int, state: Mapping[str, Any]) -> None:
        """Makes `state` the latest checkpoint, after the metrics that belong to it."""
        commit(self.folder, step, state)
        if self.folder.metrics_log.exists():
            self.store.publish(self.folder.metrics_log.name)
        self.store.publish_checkpoint(step)

    def delete_checkpoints(self) -> None:
        """Deletes what only a resume needs."""
        self.store.delete_folder(CHECKPOINTS)

    def publish_curves(self) -> None:
        """Stores what was written for TensorBoard. Call it before `fetch` replaces the folder."""
        for path in sorted(self.folder.tensorboard.rglob("events.out.tfevents.*")):
            self.store.publish(path.relative_to(self.folder.path).as_posix())

    def publish_results(self) -> None:
        """Stores everything that a finished run has, run.json last."""
        separate = {CHECKPOINTS, RECORD, PROGRESS}
        for path in sorted(self.folder.path.rglob("*")):
            name = path.relative_to(self.folder.path).as_posix()
            first = name.partition("/")[0]
            if path.is_file() and first not in separate and not first.startswith("."):
                self.store.publish(name)
        self.store.publish(RECORD)
        self.store.delete(self.folder.metrics_log.name)  # its rows are in metrics.parquet

    def close(self) -> None:
        """Ends the command: stores the workers' log, deletes temporary files, ends the lease."""
        with suppress(OSError, MimicError):
            if self.folder.worker_log.exists():
                self.store.publish(self.folder.worker_log.name)
            self.store.delete_folder(_RAY_FILES)
            self.lease.release()
        self.store.close()


def open_run(location: str | Path, owner: str) -> RunStore:
    """The run at a path or an address; `owner` as in `open_store`."""
    return RunStore(open_store(location, owner))


@contextmanager
def reading(location: str | Path) -> Iterator[RunFolder]:
    """The folder of a run, to read results from; of an address, a temporary copy.

    Raises StorageError.
    """
    run = open_run(location, f"reader-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        run.fetch(checkpoint=False)
        with run.store.errors_at_location():
            yield run.folder
    finally:
        run.store.close()


def is_run(location: str | Path) -> bool:
    """Whether there may be a run, rather than a checkpoint. Raises StorageError."""
    if is_hub(location):
        return False
    if is_remote(location):
        return open_storage(location).exists(RECORD)
    folder = Path(parse(location).path)
    return folder.is_dir() and ((folder / RECORD).exists() or not holds_weights(folder))


def _is_no_checkpoint(name: str) -> bool:
    # Nothing here reads TensorBoard's files, and those of this command are still being written.
    return not name.startswith((f"{CHECKPOINTS}/", f"{TENSORBOARD}/", "."))


def _occupant(record: bytes) -> Occupant:
    try:
        known = parse_record(record, RECORD)
    except RunFolderError:
        return Occupant(" (its run.json is damaged)", can_continue=False)
    state = "diverged" if known.diverged else known.status
    return Occupant(
        f" ({state}, {known.encoder}, started {known.started_at})",
        can_continue=state not in ("diverged", "finished"),
    )
