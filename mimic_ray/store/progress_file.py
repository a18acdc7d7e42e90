"""How far a run or study is, in one small file that can be read while it goes on: progress.json.

Rank 0 writes it, every few seconds and at each commit, or the driver of a search; whoever wants to
know reads it, from a local folder or an address. It is for showing only: nothing is decided by it,
and what it says may be some seconds old. Reading imports no torch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import is_remote

NAME = "progress.json"
# Matches what RunFolder takes for leftovers of a killed writer.
_UNFINISHED = f".{NAME}.tmp-live"


@dataclass(frozen=True)
class Live:
    """`restarts`: how often workers were entered again since the command began.

    Of a study, the steps are trials, `workers` those that run, and `committed_step` is None.
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
    phase: str = "start"  # start, begin, decode, profile, record, distil; search of a study
    updated_at: float = 0.0  # seconds since 1970

    def content(self) -> bytes:
        """The file as it is written now."""
        return (json.dumps({**asdict(self), "updated_at": time.time()}, indent=2) + "\n").encode()


class LiveStore:
    """Where a run's progress.json lies; this one is a folder. No call of it fails a run."""

    every_s = 3.0  # between two writings that nothing calls for

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Live | None:
        try:
            return parse_live((self._folder / NAME).read_bytes())
        except OSError:
            return None

    def write(self, live: Live) -> None:
        """By rename, so that no reader sees half of it; not synced, since nothing hangs on it."""
        with suppress(OSError):
            unfinished = self._folder / _UNFINISHED
            unfinished.write_bytes(live.content())
            unfinished.replace(self._folder / NAME)


class LiveWriter:
    """The writing side, of one worker of one run."""

    def __init__(self, store: LiveStore, steps: int, workers: int) -> None:
        self._store = store
        earlier = store.read()
        # The driver writes "start"; whoever finds another phase of a running run comes after one.
        again = earlier is not None and earlier.status == "running" and earlier.phase != "start"
        restarts = earlier.restarts + 1 if earlier and again else 0
        committed = earlier.committed_step if earlier and earlier.status == "running" else None
        self._now = Live(
            steps,
            committed or 0,
            workers=workers,
            restarts=restarts,
            committed_step=committed,
            phase="begin",
        )
        self._written_at = 0.0
        self._put(self._now, now=True)

    def phase(self, name: str) -> None:
        """The run is at something else now."""
        if name != self._now.phase:
            self._put(replace(self._now, phase=name), now=True)

    def step(self, row: Mapping[str, float], images_per_s: float, global_batch: int) -> None:
        """A step is done; `row` has its number and its loss."""
        step = int(row["step"])
        left = (self._now.steps - step) * global_batch / images_per_s if images_per_s else None
        self._put(
            replace(
                self._now,
                phase="distil",
                step=step,
                loss=row.get("loss"),
                images_per_s=round(images_per_s, 1),
                seconds_left=left,
            )
        )

    def committed(self, step: int) -> None:
        self._put(replace(self._now, step=step, committed_step=step), now=True)

    def _put(self, live: Live, *, now: bool = False) -> None:
        self._now = live
        clock = time.monotonic()
        if now or clock - self._written_at >= self._store.every_s:
            self._written_at = clock
            self._store.write(live)


def begin_live(store: LiveStore, steps: int, committed: int | None) -> None:
    """The driver's word that a command begins, before it has workers: restarts count from here."""
    store.write(Live(steps, committed or 0, committed_step=committed))


def end_live(store: LiveStore, status: str) -> None:
    """The driver's word on how the run ended."""
    if live := store.read():
        store.write(replace(live, status=status, seconds_left=None))


def read_live(place: str | Path) -> Live | None:
    """How far the run at a folder or address is, None where none has written yet.

    Raises StorageError, UsageError for an address that cannot be read.
    """
    if not is_remote(place):
        return LiveStore(Path(place)).read()
    storage = open_storage(str(place))
    return parse_live(storage.read_bytes(NAME)) if storage.exists(NAME) else None


def parse_live(content: bytes) -> Live | None:
    """Unknown keys are of a later version; what is no record of a run is none."""
    known = {field.name for field in fields(Live)}
    try:
        return Live(**{key: value for key, value in json.loads(content).items() if key in known})
    except (ValueError, TypeError, AttributeError):
        return None
