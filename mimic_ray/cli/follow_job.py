"""Prints the log of a job until the job ends. Ctrl-C ends only the printing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from mimic_ray.base.errors import StoppedError
from mimic_ray.cli import console

if TYPE_CHECKING:
    from mimic_ray.jobs.job_client import Job, JobClient


def follow_to_the_end(client: JobClient, name: str, log: TextIO) -> Job:
    """Writes the job's log to `log`, then a note of how the job ended; the ended job.

    Raises StoppedError after Ctrl-C: the job continues.
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
    """One line: the state, with the exit code where there is one."""
    if job.exit_code is None:
        return f"{job.id}: {job.state}"
    return f"{job.id}: {job.state}, exit code {job.exit_code}"
