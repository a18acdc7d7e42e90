"""Jobs that were sent: their server, their facts, and how their runs go by their own metrics."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from mimic_ray.base.errors import MimicError
from mimic_ray.jobs.cluster_state import unmet_demand
from mimic_ray.jobs.job_client import Job, JobClient
from mimic_ray.jobs.server_address import job_server
from mimic_ray.store.progress_file import Live, read_live

_LAST_LINES = 20
_SILENT_S = 60.0


@dataclass(frozen=True)
class JobStatus:
    """A job and its run. `unread` says why there is no `live`, `waits` what the cluster lacks."""

    job: Job
    live: Live | None
    unread: str
    waits: str
    last_lines: list[str]

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            **facts(self.job),
            "run": asdict(self.live) if self.live else None,
            "run_unread": self.unread,
            "waits_for": self.waits,
            "last_lines": self.last_lines,
        }


def open_jobs(address: str | None, *, insecure: bool = False) -> JobClient:
    """The client of the job server that is meant. Raises UsageError, ResourceError."""
    return JobClient(job_server(address, insecure=insecure))


def facts(job: Job) -> dict[str, Any]:
    """A job as plain values."""
    return {**asdict(job), "metadata": dict(job.metadata)}


def job_status(client: JobClient, name: str) -> JobStatus:
    """Raises UnknownNameError for a job that nobody sent, ResourceError without an answer."""
    job = client.job(name)
    live, unread = _live(job)
    # A driver runs as soon as it is sent, and writes "start"; its workers may have no room yet, or
    # no more since a node was lost.
    waiting = not job.over and (
        live is None
        or live.updated_at < job.started
        or live.phase == "start"
        or time.time() - live.updated_at > _SILENT_S
    )
    waits = unmet_demand(client) if waiting else ""
    if job.state == "PENDING" and job.message:
        waits = f"{job.message} {waits}".strip()
    wordy = job.state in ("FAILED", "STOPPED") or (live is None and job.state != "PENDING")
    lines = client.logs(name).splitlines()[-_LAST_LINES:] if wordy else []
    return JobStatus(job, live, unread, waits, lines)


def _live(job: Job) -> tuple[Live | None, str]:
    if not job.out:
        return None, "the command has no --out"
    try:
        live = read_live(job.out)
    except MimicError as error:
        return None, error.message
    return live, "" if live else f"nothing is written at {job.out} yet, or not where we can read it"
