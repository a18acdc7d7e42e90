"""mimic-ray list: the jobs of a cluster."""

from __future__ import annotations

import time

from rich.table import Table
from rich.text import Text

from mimic_ray.cli import console, options


def command(
    address: options.JobAddress = None,
    insecure: options.Insecure = False,
    json: options.Json = False,
) -> None:
    """List the jobs of a cluster, newest first.

    Example: mimic-ray list --address http://head:8265
    """
    from mimic_ray.base.text import duration, plain
    from mimic_ray.workflows.job_status import facts, open_jobs

    client = open_jobs(address, insecure=insecure)
    jobs = client.jobs()
    if json:
        console.print_json([facts(job) for job in jobs])
        return
    if not jobs:
        console.out.print(f"No jobs at {client.server.url}.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("job", "state", "started", "time", "command"):
        table.add_column(column, no_wrap=column != "command", overflow="fold")
    for job in jobs:
        started = took = ""
        if job.started:
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started))
            took = duration((job.ended or time.time()) - job.started)
        # Names and commands may come from other users.
        command = plain(job.command or "(not mimic-ray)")
        words = plain(job.id), job.state, started, took, command
        table.add_row(*(Text(word) for word in words))
    console.out.print(table)
