"""mimic-ray logs: the output of a job."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import ended, follow_until_end


def command(
    job: options.JobName,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Follow until the job ends; Ctrl-C does not stop it."),
    ] = False,
    address: options.JobAddress = None,
    insecure: options.Insecure = False,
) -> None:
    """Show the log of a job.

    Example: mimic-ray logs purify-1a2b3c4d --follow
    """
    from mimic_ray.workflows.job_status import open_jobs

    client = open_jobs(address, insecure=insecure)
    known = client.job(job)
    if follow:
        if status := follow_until_end(client, job, sys.stdout).exit_status:
            raise typer.Exit(status)
        return
    sys.stdout.write(client.logs(job))
    if known.over:
        console.note(ended(known))
