"""The log of a job on this terminal until the job ends, or until Ctrl-C, which lets it go on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from mimic_ray.cli import console

if TYPE_CHECKING:
    from mimic_ray.jobs.job_client import Job, JobClient


def follow_to_the_end(client: JobClient, name: str) -> None:
    """Prints the log and how the job ended. Exits with 1 for a job that did not succeed."""
    from mimic_ray.jobs.job_logs import follow

    def tell(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def lost(sentence: str) -> None:
        console.err.print(sentence, markup=False, soft_wrap=True)

    try:
        job = follow(client, name, tell, tell_lost=lost)
    except KeyboardInterrupt:
        console.err.print(
            f"\nThe job goes on. Come back with: mimic-ray logs {name} --follow"
            f"{client.server.option}",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    console.err.print(ended(job), markup=False, soft_wrap=True)
    if job.state != "SUCCEEDED":
        raise typer.Exit(1)


def ended(job: Job) -> str:
    """One line: the state, with the exit code where there is one."""
    if job.exit_code is None:
        return f"{job.id}: {job.state}"
    return f"{job.id}: {job.state}, exit code {job.exit_code}"
