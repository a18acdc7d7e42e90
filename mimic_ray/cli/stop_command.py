"""mimic-ray stop: stops a job."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.base.errors import ResourceError
from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import ended


def command(
    job: options.JobName,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds to wait until it has ended.")
    ] = 150.0,
    address: options.JobAddress = None,
    insecure: options.Insecure = False,
) -> None:
    """Stop a job. A purification first writes a checkpoint; continue it with --resume.

    Example: mimic-ray stop purify-1a2b3c4d
    """
    from mimic_ray.workflows.job_status import open_jobs

    client = open_jobs(address, insecure=insecure)
    known = client.job(job)
    if known.over:
        console.out.print(f"{ended(known)} already.")
        return
    now = client.stop(job, timeout)
    if now.over:
        console.out.print(ended(now))
        return
    if now.state == "PENDING":
        raise ResourceError(
            f"{job} has not started, and Ray cannot stop a job in its queue: it fails if it has "
            "not started within 15 minutes. Try again once it runs."
        )
    raise ResourceError(
        f"{job} is still running after {timeout:.0f} s: see mimic-ray logs {job}"
        f"{client.server.option}, and try again."
    )
