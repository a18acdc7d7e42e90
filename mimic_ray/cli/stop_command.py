"""mimic-ray stop: ends a job."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.base.errors import ResourceError
from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import ended


def command(
    job: options.JobName,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="How long to wait for its end.")
    ] = 150.0,
    address: options.JobAddress = None,
    insecure: options.Insecure = False,
) -> None:
    """End a job. A purification commits its last step first; go on with it by --resume.

    Example: mimic-ray stop purify-1a2b3c4d
    """
    from mimic_ray.workflows.job_status import open_jobs

    client = open_jobs(address, insecure=insecure)
    known = client.job(job)
    if known.over:
        console.out.print(f"{ended(known)}, before it was asked to.", markup=False)
        return
    now = client.stop(job, timeout)
    if now.over:
        console.out.print(ended(now), markup=False)
        return
    if now.state == "PENDING":
        raise ResourceError(
            f"{job} has not begun, and Ray cannot stop a job in its queue: it ends by itself when "
            "it has not begun within 15 minutes, or ask again when it runs."
        )
    raise ResourceError(
        f"{job} still runs {timeout:.0f} s after it was asked to end: see mimic-ray logs {job}"
        f"{client.server.option}, and ask again."
    )
