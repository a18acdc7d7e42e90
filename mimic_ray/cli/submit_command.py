"""mimic-ray submit: runs another command as a job on a Ray cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from mimic_ray.base.errors import UsageError
from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import follow_until_end

# All arguments from the name of the inner command on belong to it, with or without a "--" before.
CONTEXT = {"allow_interspersed_args": False}


def command(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND ...", help="The mimic-ray command, with its options."),
    ],
    address: options.JobAddress = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the job; by default derived from the command. A name runs only once."
        ),
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N or MIN-MAX", help="The command's --workers.")
    ] = None,
    cpus_per_worker: Annotated[
        int, typer.Option(min=0, help="The command's --cpus-per-worker.")
    ] = 0,
    gpus_per_worker: Annotated[
        float, typer.Option(min=0, help="The command's --gpus-per-worker.")
    ] = 0.0,
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Environment variable of the job. The job server shows it in plain text.",
        ),
    ] = None,
    shared: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MIMIC_RAY_SHARED",
            metavar="FOLDER",
            help="A folder that every machine has at the same path; repeatable.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show the log until the job ends.")] = False,
    pending_timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds to wait for the job to start.")
    ] = 60.0,
    insecure: options.Insecure = False,
    json: options.Json = False,
) -> None:
    """Run a command as a job on a Ray cluster.

    The package, a recipe file and your own Python files are uploaded with the job. Images,
    checkpoints and results must be at locations that the cluster can reach.

    Example: mimic-ray submit --address http://head:8265 --workers 4 --gpus-per-worker 1 -- purify
    --encoder vit_b16 --teacher s3://bucket/suspect.pth --data s3://bucket/shards
    --out s3://bucket/purified
    """
    from mimic_ray.cli.command_as_job import job_command
    from mimic_ray.workflows.submit import pending_reason, submit, wait_for_start

    sent = submit(
        job_command(
            arguments,
            workers=workers,
            cpus_per_worker=cpus_per_worker,
            gpus_per_worker=gpus_per_worker,
        ),
        address=address,
        name=name,
        variables=_variables(env or []),
        shared=shared or [],
        insecure=insecure,
        report=_report,
    )
    again = f"{sent.job.id}{sent.client.server.option}"
    if not sent.fresh:
        console.note(f"The job already exists ({sent.job.state}); nothing was sent.")
    job = wait_for_start(sent.client, sent.job, pending_timeout)
    if job.state == "PENDING":
        console.note(
            f"PENDING after {pending_timeout:.0f} s: {pending_reason(sent.client, job)}. The "
            "job stays in Ray's queue and cannot be stopped there; it fails if it has not started "
            "within 15 minutes."
        )
    if wait:
        job = follow_until_end(sent.client, job.id, sys.stderr if json else sys.stdout)
    if json:
        console.print_json({"job": job.id, "state": job.state, "fresh": sent.fresh})
    elif not wait:
        console.out.print(f"{job.state}: {job.id}")
        console.out.print(f"  status  mimic-ray status {again}", soft_wrap=True)
        console.out.print(f"  log     mimic-ray logs {again} --follow", soft_wrap=True)
        console.out.print(f"  stop    mimic-ray stop {again}", soft_wrap=True)
    if wait and job.exit_status:
        raise typer.Exit(job.exit_status)


def _variables(pairs: Sequence[str]) -> dict[str, str]:
    variables = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--env {name}: expected NAME=VALUE.")
        variables[name] = value
    return variables


def _report(what: str, text: str) -> None:
    words = {"server": "Job server  ", "job": "Job         ", "note": "note: "}[what]
    console.note(f"{words}{text}")
