"""mimic-ray logs: what a job has printed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import ended, follow_to_the_end


def command(
    job: options.JobName,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Until the job ends; Ctrl-C lets it go on.")
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
        follow_to_the_end(client, job)
        return
    sys.stdout.write(client.logs(job))
    if known.over:
        console.err.print(ended(known), markup=False, soft_wrap=True)
