"""mimic-ray list: the jobs of a cluster."""

from __future__ import annotations

import time

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
    from mimic_ray.report.fitted_table import FittedTable
    from mimic_ray.workflows.job_status import facts, open_jobs

    client = open_jobs(address, insecure=insecure)
    jobs = client.jobs()
    if json:
        console.print_json([facts(job) for job in jobs])
        return
    if not jobs:
        console.out.print(f"No jobs at {client.server.url}.")
        return
    lines = []
    for job in jobs:
        started = took = ""
        if job.started:
            started = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started))
            took = duration((job.ended or time.time()) - job.started)
        # Names and commands may come from other users.
        command = plain(job.command or "(not mimic-ray)")
        lines.append([plain(job.id), job.state, started, took, command])
    header = ["job", "state", "started", "time", "command"]
    console.out.print(FittedTable(header, lines, left=(0, 1, 2, 4), folds_last=True))
