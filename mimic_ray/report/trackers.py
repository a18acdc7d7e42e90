"""The curves of a run, written while it runs: for TensorBoard, MLflow and Weights & Biases.

They come from the progress of the run, which has a few steps a second; metrics.parquet has all.
TensorBoard's files are always written. The others are used when they are named and installed. An
error of a tracker ends its use, not the run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from mimic_ray.base.errors import StoppedError, UnknownNameError, UsageError, option
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.text import near_names, plain

_PROJECT = "mimic-ray"  # MLflow's experiment and the project of Weights & Biases
# One request for all rows of so many seconds: a server may be far away.
_SEND_EVERY_S = 5.0
_FLUSH_EVERY_S = 10.0  # TensorBoard's files, to the disk
# How long the end of a run waits for a server. MLflow retries a request for about four minutes.
_CLOSE_S = 30.0

Settings = Mapping[str, Any]


class Tracker(Protocol):
    """Where curves go."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """The values of one step."""

    def close(self, status: str) -> None:
        """The run is "finished", "stopped" or "failed"."""


class TensorBoard:
    """An event file in a folder. After a resume, curves continue after `step`.

    Written in the calling thread, so that a full disk is an error here and not in a thread, and
    under a name without the host's, since runs get shared.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._writer = RecordWriter(str(folder / f"events.out.tfevents.{time.time_ns()}.run"))
        self._flushed_at = time.monotonic()
        self._write(file_version="brain.Event:2")
        if step:  # what an earlier command logged after its last commit comes again
            from tensorboardX.proto.event_pb2 import SessionLog

            self._write(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=scalars))
        if time.monotonic() - self._flushed_at >= _FLUSH_EVERY_S:
            self._flushed_at = time.monotonic()
            self._writer.flush()

    def close(self, status: str) -> None:  # noqa: ARG002
        self._writer.close()

    def _write(self, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), **content)
        try:
            self._writer.write(event.SerializeToString())
        except OSError:
            with suppress(OSError):
                self._writer.close()
            raise


class InBackground:
    """A tracker that is made, used and closed by a thread: a server that is away delays no step.

    An error of the thread is raised by the next call. `close` raises TimeoutError after 30 s.
    """

    def __init__(self, make: Callable[[], Tracker]) -> None:
        self._make = make
        self._calls: SimpleQueue[Callable[[Tracker], None] | None] = SimpleQueue()
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="tracker", daemon=True)
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if self._error:
            raise self._error
        self._calls.put(lambda tracker: tracker.log(step, values))

    def close(self, status: str) -> None:
        self._calls.put(lambda tracker: tracker.close(status))
        self._calls.put(None)
        self._thread.join(_CLOSE_S)
        if self._error:
            raise self._error
        if self._thread.is_alive():
            raise TimeoutError(f"it has not answered for {_CLOSE_S:g} s")

    def _run(self) -> None:
        try:
            tracker = self._make()
            while call := self._calls.get():
                call(tracker)
        except Exception as error:  # raised again by the thread that trains
            self._error = error


_MLFLOW_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflow:
    """A run of an MLflow experiment, at MLflow's own tracking address (MLFLOW_TRACKING_URI)."""

    def __init__(self, name: str, settings: Settings) -> None:
        mlflow = import_module("mlflow")
        self._metric = import_module("mlflow.entities").Metric
        # Not `mlflow.start_run`: a program that calls us may have an active run of its own.
        self._client = mlflow.MlflowClient()
        known = self._client.get_experiment_by_name(_PROJECT)
        experiment = known.experiment_id if known else self._client.create_experiment(_PROJECT)
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)
        self._waiting: list[Any] = []
        self._sent_at = time.monotonic()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        self._waiting += [self._metric(key, value, now, step) for key, value in values.items()]
        if time.monotonic() - self._sent_at >= _SEND_EVERY_S:
            self._send()

    def close(self, status: str) -> None:
        self._send()
        with _setting("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"):  # stdout may be JSON
            self._client.set_terminated(self._run, _MLFLOW_STATUS[status])

    def _send(self) -> None:
        self._sent_at = time.monotonic()
        if self._waiting:
            self._client.log_batch(self._run, metrics=self._waiting)
            self._waiting = []


@contextmanager
def _setting(name: str, value: str) -> Iterator[None]:
    """Sets an environment variable during the block, unless the user has set it."""
    ours = name not in os.environ
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if ours:
            os.environ.pop(name, None)


class WeightsAndBiases:
    """A run of a project of Weights & Biases, which sends in the background."""

    def __init__(self, name: str, settings: Settings) -> None:
        wandb = import_module("wandb")
        self._run = wandb.init(project=_PROJECT, name=name, config=dict(settings))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)


TRACKERS: Mapping[str, Callable[[str, Settings], Tracker]] = {
    "mlflow": lambda name, settings: InBackground(lambda: MLflow(name, settings)),
    "wandb": WeightsAndBiases,
}


def check_trackers(names: Sequence[str]) -> None:
    """Raises UsageError for a tracker that is unknown or not installed."""
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, near_names(name, TRACKERS) or [*TRACKERS])
        if find_spec(name) is None:
            raise UsageError(
                f"{option('trackers', name)} needs the package {name}, which is not installed: "
                f"pip install {name}. TensorBoard files are always written."
            )


@contextmanager
def tracked(
    on_progress: ProgressCallback,
    folder: Path,
    step: int,
    name: str,
    settings: Settings,
    trackers: Sequence[str],
    notes: list[str],
) -> Iterator[ProgressCallback]:
    """Reports progress, and logs the steps in it. Problems of trackers are added to `notes`.

    `folder` is for TensorBoard, `step` the one from which the run continues, `name` that of the
    run, and `settings` its recipe, by key.
    """
    opened: dict[str, Tracker] = {}

    def attempt(tracker: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # of a network, a server, a full disk ...
            opened.pop(tracker, None)
            notes.append(
                f"{tracker} was not used to the end: {type(error).__name__}: {plain(error)}"
            )

    def open_tracker(tracker: str, make: Callable[[], Tracker]) -> None:
        def work() -> None:
            opened[tracker] = make()

        attempt(tracker, work)

    open_tracker("TensorBoard", lambda: TensorBoard(folder, step))
    for each in trackers:
        open_tracker(each, lambda each=each: TRACKERS[each](name, settings))  # type: ignore[misc]

    def report(progress: Progress) -> None:
        if progress.phase == "distil" and progress.row:
            values = {key: value for key, value in progress.row.items() if key != "step"}
            values |= {"images_per_s": progress.images_per_s, "data_wait": progress.data_wait}
            for tracker, target in [*opened.items()]:
                attempt(tracker, lambda target=target: target.log(progress.done, values))  # type: ignore[misc]
        on_progress(progress)

    status = "failed"
    try:
        yield report
        status = "finished"
    except StoppedError:
        status = "stopped"
        raise
    finally:
        for tracker, target in [*opened.items()]:
            attempt(tracker, lambda target=target: target.close(status))  # type: ignore[misc]
