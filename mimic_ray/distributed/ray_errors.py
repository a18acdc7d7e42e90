"""Ray's errors, which are pages long, as one sentence of ours; the page is in Ray's log."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from mimic_ray.base.errors import MimicError, TrainingError

_GO_ON = "What was committed is whole: run the same command with --resume."
# What Ray writes into the death of an actor -> what a user wants to know. First match wins.
_DEATHS = {
    r"node (has )?died|node is dead|node failure|NodeDied": "its node died or fell silent",
    r"OutOfMemory|memory (usage|pressure).*threshold|low on memory": "it ran out of memory",
    r"worker process has died|unexpectedly exits|connection error": "its process was killed or "
    "crashed (out of memory is the usual reason)",
    r"preempt": "its node was pre-empted",
}


def as_ours(error: BaseException, log: Path | str) -> MimicError:
    """What came out of `fit()`; a MimicError that is somewhere within is handed on as it is."""
    failures: dict[int, BaseException] = getattr(error, "worker_failures", {})
    inner = getattr(error, "controller_failure", None)
    ends = f"{_GO_ON} Ray's log is in {log}."
    # A worker that lost its peer fails as well: the one that died says more, where it is known.
    for rank, failure in failures.items():
        if why := _death(failure):
            return TrainingError(f"Worker {rank}{_where(failure)} died: {why}. {ends}")
    for found in (*failures.values(), inner, error):
        if isinstance(found, MimicError):
            return found
    for rank, failure in failures.items():
        return TrainingError(f"Worker {rank}{_where(failure)} failed: {last_line(failure)}. {ends}")
    if type(inner).__name__ == "WorkerGroupStartupTimeoutError":
        return TrainingError(
            "The cluster had no room for the workers in time: other jobs hold its CPUs or GPUs, or "
            f"nodes were lost. See `ray status`, lower --workers, or give a range. {ends}"
        )
    cause = inner or error
    if why := _death(cause):
        return TrainingError(f"Ray's controller of the run{_where(cause)} died: {why}. {ends}")
    return TrainingError(f"Ray Train failed: {last_line(cause)}. {ends}")


def in_a_worker(rank: int, error: Exception) -> TrainingError:
    """An error that is none of ours, as one: only strings leave a process for certain."""
    text = f"{type(error).__name__} {error}"
    if re.search(r"gloo|NCCL|DistBackendError|DistStoreError|TCPStore", text):
        return TrainingError(
            f"Worker {rank} lost the other workers: one of them died, or the network between them "
            f"failed. {_GO_ON}"
        )
    where = traceback.extract_tb(error.__traceback__)[-1]
    return TrainingError(
        f"Worker {rank} failed at {Path(where.filename).name}:{where.lineno}: "
        f"{type(error).__name__}: {last_line(error)}. {_GO_ON}"
    )


def was_lost(error: BaseException) -> bool:
    """Whether what failed is Ray's own machinery, which another attempt would not meet again.

    Ray Train replaces dead workers by itself, but not its controller, and not workers that die
    while they start.
    """
    if getattr(error, "worker_failures", None):
        return False
    cause = getattr(error, "controller_failure", None) or error
    return not isinstance(cause, MimicError) and _death(cause) is not None


def last_line(error: BaseException) -> str:
    """The line of a Ray error that has the reason."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


def _death(error: BaseException) -> str | None:
    """Why a process of Ray's died, None where `error` tells of no death."""
    error = getattr(error, "health_check_failure", error)
    if isinstance(error, MimicError):
        return None
    text = f"{type(error).__name__} {error}"
    if not re.search("ActorDied|ActorUnavailable|NodeDied|WorkerCrashed|OutOfMemory", text):
        return None
    return next((words for found, words in _DEATHS.items() if re.search(found, text)), "no reason")


def _where(error: BaseException) -> str:
    found = re.search(r"(?:node_ip='|\bip[:=] ?)([0-9a-fA-F.:]+[0-9a-fA-F])", str(error))
    return f" on {found[1]}" if found else ""
