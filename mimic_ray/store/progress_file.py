"""progress.json: the state of a run, study or comparison, to be read while it is running.

Rank 0 of a run, or the driver of a search or comparison, writes it every few seconds and at each
commit. It is only for display: nothing depends on it, and it may be some seconds old. Reading it
does not import torch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import is_remote, parse
from mimic_ray.store.store import Store

PROGRESS = "progress.json"


@dataclass(frozen=True)
class ProgressRecord:
    """`restarts` counts how often workers were started again since the command began.

    In the record of a `study`, steps are trials, `workers` are running trials, and `committed_step`
    is None. In that of a `comparison`, steps are runs of defences, and `steps` is the most that may
    be needed. `done` of `total` units of the phase are done, where it has some.
    """

    steps: int
    step: int = 0
    loss: float | None = None
    images_per_s: float = 0.0
    seconds_left: float | None = None
    workers: int = 1
    restarts: int = 0
    committed_step: int | None = None
    status: str = "running"  # running, stopped, failed or finished
    phase: str = (
        "start"  # start, begin, decode, profile, teacher, distil; search of a study; any words
    )
    done: int = 0
    total: int = 0
    study: bool = False
    comparison: bool = False
    updated_at: float = 0.0  # seconds since 1970

    def content(self) -> bytes:
        """The content of the file, with the present time."""
        return (json.dumps({**asdict(self), "updated_at": time.time()}, indent=2) + "\n").encode()


class ProgressWriter:
    """Writes the progress of a run from its rank 0."""

    def __init__(self, store: Store, steps: int, workers: int) -> None:
        self._store = store
        earlier = _last_progress(store)
        # The driver writes "start": any other phase of a running run comes from earlier workers.
        restarted = earlier is not None and earlier.status == "running" and earlier.phase != "start"
        restarts = earlier.restarts + 1 if earlier and restarted else 0
        committed = earlier.committed_step if earlier and earlier.status == "running" else None
        self._now = ProgressRecord(
            steps,
            committed or 0,
            workers=workers,
            restarts=restarts,
            committed_step=committed,
            phase="begin",
        )
        self._written_at = 0.0
        self._write(self._now, now=True)

    def phase(self, name: str, done: int = 0, total: int = 0) -> None:
        """The run has reached another phase, or is further in it."""
        changed = name != self._now.phase
        self._write(replace(self._now, phase=name, done=done, total=total), now=changed)

    def step(self, row: Mapping[str, float], images_per_s: float, global_batch: int) -> None:
        """A step is done; `row` has its number and loss."""
        step = int(row["step"])
        left = (self._now.steps - step) * global_batch / images_per_s if images_per_s else None
        self._write(
            replace(
                self._now,
                phase="distil",
                done=0,
                total=0,
                step=step,
                loss=row.get("loss"),
                images_per_s=round(images_per_s, 1),
                seconds_left=left,
            )
        )

    def committed(self, step: int) -> None:
        self._write(replace(self._now, step=step, committed_step=step), now=True)

    def _write(self, progress: ProgressRecord, *, now: bool = False) -> None:
        self._now = progress
        clock = time.monotonic()
        if now or clock - self._written_at >= self._store.progress_interval_s:
            self._written_at = clock
            write_progress(self._store, progress)


def write_progress(store: Store, progress: ProgressRecord) -> None:
    """Stores progress.json. Does not wait and does not raise."""
    store.try_write(PROGRESS, progress.content())


def recorded(
    on_progress: ProgressCallback,
    store: Store,
    trials: int,
    ended: Callable[[], int] | None = None,
) -> ProgressCallback:
    """Reports the preparation of a study, and writes it to the study's progress file as well.

    With `ended` it is a whole comparison of at most `trials` runs, of which so many have ended.
    """
    phase, written_at = "", 0.0

    def report(progress: Progress) -> None:
        nonlocal phase, written_at
        now = time.monotonic()
        if progress.phase != phase or now - written_at >= store.progress_interval_s:
            phase, written_at = progress.phase, now
            known = ProgressRecord(trials, phase=phase, study=ended is None)
            if ended is not None:
                known = replace(known, comparison=True, step=ended())
            write_progress(store, replace(known, done=progress.done, total=progress.total))
        on_progress(progress)

    return report


def begin_progress(store: Store, steps: int, committed: int | None) -> None:
    """Written by the driver before there are workers; restarts are counted from here."""
    write_progress(store, ProgressRecord(steps, committed or 0, committed_step=committed))


def end_progress(store: Store, status: str) -> None:
    """Written by the driver at the end of the run."""
    if progress := _last_progress(store):
        write_progress(store, replace(progress, status=status, seconds_left=None))


def read_progress(location: str | Path) -> ProgressRecord | None:
    """The progress of the run or study at a path or an address; None if none was written yet.

    Raises StorageError, and UsageError for an invalid address.
    """
    if not is_remote(location):
        path = Path(parse(location).path) / PROGRESS
        return parse_progress(path.read_bytes()) if path.is_file() else None
    storage = open_storage(str(location))
    return parse_progress(storage.read_bytes(PROGRESS)) if storage.exists(PROGRESS) else None


def parse_progress(content: bytes) -> ProgressRecord | None:
    """None for anything but a progress record. Keys of later versions are ignored."""
    known = {field.name for field in fields(ProgressRecord)}
    try:
        values = json.loads(content).items()
        return ProgressRecord(**{key: value for key, value in values if key in known})
    except (ValueError, TypeError, AttributeError):
        return None


def _last_progress(store: Store) -> ProgressRecord | None:
    content = store.try_read(PROGRESS)
    return None if content is None else parse_progress(content)
