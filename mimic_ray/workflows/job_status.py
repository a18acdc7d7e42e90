"""The state of a submitted job, and the progress of its run from the run's progress file.

A folder has progress without a job.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import MimicError, WrongFolderError
from mimic_ray.base.storage_address import is_remote
from mimic_ray.jobs.cluster_state import unmet_demand
from mimic_ray.jobs.job_client import Job, JobClient
from mimic_ray.jobs.server_address import job_server
from mimic_ray.store.progress_file import PROGRESS, ProgressRecord, read_progress

_LAST_LINES = 20
_STALE_S = 60.0


@dataclass(frozen=True)
class JobStatus:
    """A job and the progress of its run."""

    job: Job
    run: ProgressRecord | None
    run_unread: str  # why `run` is None
    waits_for: str  # the resources that the cluster cannot provide yet
    last_lines: list[str]  # of the log, if the job failed or its run cannot be read

    def facts(self) -> dict[str, Any]:
        """The content as JSON values."""
        return {
            **facts(self.job),
            "run": asdict(self.run) if self.run else None,
            "run_unread": self.run_unread,
            "waits_for": self.waits_for,
            "last_lines": self.last_lines,
        }


def open_jobs(address: str | None, *, insecure: bool = False) -> JobClient:
    """A client for the job server. Raises UsageError, ResourceError."""
    return JobClient(job_server(address, insecure=insecure))


def facts(job: Job) -> dict[str, Any]:
    """A job as JSON values."""
    return {**asdict(job), "metadata": dict(job.metadata)}


def job_status(client: JobClient, name: str) -> JobStatus:
    """Raises UnknownNameError for an unknown job, ResourceError if the server does not answer."""
    job = client.job(name)
    run, unread = _progress(job)
    # A job is RUNNING as soon as its driver runs, which writes "start". Its workers may still wait
    # for nodes, or wait again after a node was lost.
    may_wait = not job.over and (
        run is None
        or run.updated_at < job.started
        or run.phase == "start"
        or time.time() - run.updated_at > _STALE_S
    )
    waits_for = unmet_demand(client) if may_wait else ""
    if job.state == "PENDING" and job.message:
        waits_for = f"{job.message} {waits_for}".strip()
    needs_log = job.state in ("FAILED", "STOPPED") or (run is None and job.state != "PENDING")
    lines = client.logs(name).splitlines()[-_LAST_LINES:] if needs_log else []
    return JobStatus(job, run, unread, waits_for, lines)


def is_location(text: str) -> bool:
    """Whether a text names an address or a path, of whatever kind, and not a job."""
    if is_remote(text) or "/" in text:
        return True
    try:
        return Path(text).exists()
    except OSError:  # too long for the name of a file
        return False


def folder_status(location: str) -> ProgressRecord:
    """The progress of a run, study or comparison at a path or an address.

    Raises WrongFolderError if none was written there, StorageError, UsageError.
    """
    run = read_progress(location)
    if run is None:
        raise WrongFolderError(
            f"{location} has no {PROGRESS}: give the folder that purify, tune or compare writes, "
            "or the name of a job."
        )
    return run


def _progress(job: Job) -> tuple[ProgressRecord | None, str]:
    """The progress file of the job's run, or why it cannot be read."""
    if not job.out:
        return None, "the command has no output location"
    try:
        run = read_progress(job.out)
    except MimicError as error:
        return None, error.message
    return run, "" if run else f"there is no progress file at {job.out} yet"
