"""Summarises Ray's long errors in one sentence; the full text is in Ray's log."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mimic_ray.base.errors import RESUME_ADVICE, MimicError, TrainingError, option
from mimic_ray.distributed.ray_private import node_address, reason_of_death, start_timed_out

USUAL_END = "out of memory is the usual reason"


def to_mimic_error(error: BaseException, log: Path | str) -> MimicError:
    """Converts an error of `fit()` to a MimicError; returns a MimicError in it unchanged."""
    failures: dict[int, BaseException] = getattr(error, "worker_failures", {})
    inner = getattr(error, "controller_failure", None)
    ends = f"{RESUME_ADVICE} Ray's log is {log}."
    # A worker that lost its peer fails too, but the dead one is the cause.
    for rank, failure in failures.items():
        if why := reason_of_death(failure):
            return TrainingError(f"Worker {rank}{_where(failure)} died: {why}. {ends}")
    for found in (*failures.values(), inner, error):
        if isinstance(found, MimicError):
            return found
    for rank, failure in failures.items():
        return TrainingError(f"Worker {rank}{_where(failure)} failed: {last_line(failure)}. {ends}")
    if start_timed_out(inner):
        return TrainingError(
            "The workers did not get their CPUs or GPUs in time: other jobs hold them, or nodes "
            f"were lost. See `ray status`, lower {option('workers')}, or use a range. {ends}"
        )
    cause = inner or error
    if why := reason_of_death(cause):
        return TrainingError(f"Ray's controller for this run{_where(cause)} died: {why}. {ends}")
    return TrainingError(f"Ray Train failed: {last_line(cause)}. {ends}")


@contextmanager
def picklable_errors(rank: int, one_machine: Callable[[], bool]) -> Iterator[None]:
    """Raises any error of a worker as a MimicError; the traceback goes to Ray's log.

    Other exceptions may not survive pickling on the way to the driver.
    """
    try:
        yield
    except MimicError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise worker_error(rank, error, one_machine) from None


def worker_error(rank: int, error: Exception, one_machine: Callable[[], bool]) -> TrainingError:
    """The error of worker `rank` in one sentence, with its file and line.

    `one_machine()` tells whether all workers are on one, so that no network is between them.
    """
    text = f"{type(error).__name__} {error}"
    if re.search(r"gloo|NCCL|DistBackendError|DistStoreError|TCPStore", text):
        ended = f"one of them ended ({USUAL_END})"
        why = ended if one_machine() else "one of them died, or the network failed"
        return TrainingError(
            f"Worker {rank} lost the connection to the other workers: {why}. {RESUME_ADVICE}"
        )
    where = traceback.extract_tb(error.__traceback__)[-1]
    return TrainingError(
        f"Worker {rank} failed at {Path(where.filename).name}:{where.lineno}: "
        f"{type(error).__name__}: {last_line(error)}. {RESUME_ADVICE}"
    )


def is_retryable(error: BaseException) -> bool:
    """Whether Ray's own processes failed, so that another attempt may succeed.

    Ray Train restarts dead workers, but not its controller, nor workers that die during start-up.
    """
    if getattr(error, "worker_failures", None):
        return False
    cause = getattr(error, "controller_failure", None) or error
    return not isinstance(cause, MimicError) and reason_of_death(cause) is not None


def last_line(error: BaseException) -> str:
    """The last line of a Ray error, which contains the reason."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _where(error: BaseException) -> str:
    address = node_address(error)
    return f" on {address}" if address else ""
