"""Prints the log of a job until the job ends. Ctrl-C does not stop the job."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from mimic_ray.base.errors import StoppedError
from mimic_ray.cli import console

if TYPE_CHECKING:
    from mimic_ray.jobs.job_client import Job, JobClient


def follow_until_end(client: JobClient, name: str, log: TextIO) -> Job:
    """Writes the job's log to `log` and a note about its end; returns the ended job.

    Raises StoppedError after Ctrl-C; the job continues.
    """
    from mimic_ray.jobs.job_logs import follow

    def write(text: str) -> None:
        log.write(text)
        log.flush()

    try:
        job = follow(client, name, write, on_lost=console.note)
    except KeyboardInterrupt:
        raise StoppedError(
            f"Stopped following; the job continues. Follow it again with: mimic-ray logs {name} "
            f"--follow{client.server.option}"
        ) from None
    console.note(ended(job))
    return job


def ended(job: Job) -> str:
    """One line with the state and, if there is one, the exit code."""
    if job.exit_code is None:
        return f"{job.id}: {job.state}"
    return f"{job.id}: {job.state}, exit code {job.exit_code}"
