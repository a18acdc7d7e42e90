"""mimic-ray submit: another command as a job on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.cli import console, options
from mimic_ray.cli.follow_job import follow_to_the_end
from mimic_ray.cli.worker_numbers import parse_worker_range

# What follows the command's name is the command's own, with or without a "--" before it.
CONTEXT = {"allow_interspersed_args": False}
# Whether the command spreads over the workers of a cluster by itself.
_JOBS = {"purify": True, "tune": True, "profile": False, "evaluate": False, "attack": False}


def command(
    arguments: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...")],
    address: options.JobAddress = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the job; else made of the command. The same name runs once."),
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N or FEWEST-MOST", help="The command's --workers.")
    ] = None,
    cpus_per_worker: Annotated[int, typer.Option(min=0)] = 0,
    gpus_per_worker: Annotated[int, typer.Option(min=0)] = 0,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of the job, stored and shown in clear."),
    ] = None,
    shared: Annotated[
        list[str] | None,
        typer.Option(
            envvar="MIMIC_RAY_SHARED",
            metavar="FOLDER",
            help="A folder that all machines have at the same path; repeatable.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show the log until the job ends.")] = False,
    pending_timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="How long to wait for its start.")
    ] = 60.0,
    insecure: options.Insecure = False,
    json: options.Json = False,
) -> None:
    """Run a command as a job on a Ray cluster. This package and the recipe travel, no folder does.

    Example: mimic-ray submit --address http://head:8265 --workers 4 --gpus-per-worker 1 -- purify
    --encoder vit_b16 --teacher s3://bucket/suspect.pth --data s3://bucket/shards
    --out s3://bucket/purified
    """
    from mimic_ray.workflows.submit import submit, wait_for_start, what_it_waits_for

    spreads, parameters = _checked(arguments)
    resources = _resources(parameters, workers, cpus_per_worker, gpus_per_worker)
    sent = submit(
        arguments,
        address=address,
        name=name,
        resources=resources,
        spreads=spreads,
        variables=_variables(env or []),
        shared=shared or [],
        insecure=insecure,
        tell=_tell,
    )
    again = f"{sent.job.id}{sent.client.server.option}"
    if not sent.fresh:
        console.err.print(f"It runs already ({sent.job.state}); nothing was sent.")
    job = wait_for_start(sent.client, sent.job, pending_timeout)
    if job.state == "PENDING":
        console.err.print(
            f"PENDING after {pending_timeout:.0f} s: {what_it_waits_for(sent.client, job)}. It "
            "stays in the queue, where Ray cannot stop it; it ends by itself when it has not begun "
            "within 15 minutes.",
            markup=False,
            soft_wrap=True,
        )
    if wait:
        follow_to_the_end(sent.client, job.id)
    if json:
        console.print_json({"job": job.id, "state": job.state, "fresh": sent.fresh})
    elif not wait:
        console.out.print(f"{job.state}: {job.id}")
        console.out.print(f"  how it goes  mimic-ray status {again}", soft_wrap=True)
        console.out.print(f"  its log      mimic-ray logs {again} --follow", soft_wrap=True)
        console.out.print(f"  its end      mimic-ray stop {again}", soft_wrap=True)


def _checked(arguments: Sequence[str]) -> tuple[bool, dict[str, Any]]:
    """Whether the command spreads, and what its options say, parsed by the command itself."""
    from mimic_ray.base.registry import near_names
    from mimic_ray.cli.app import LazyGroup

    name, *rest = arguments
    if name not in _JOBS:
        raise UnknownNameError(
            "command for a job", name, near_names(name, _JOBS), f"There are {', '.join(_JOBS)}."
        )
    inner = LazyGroup().get_command(None, name)
    path = f"mimic-ray {name}"
    if parts := getattr(inner, "commands", {}):  # attack badencoder
        part, *rest = rest or [""]
        if part not in parts:
            raise UnknownNameError(path, part, near_names(part, parts), f"See {path} --help.")
        inner, path = parts[part], f"{path} {part}"
    context = inner.make_context(path, list(rest))
    parameters: dict[str, Any] = context.params
    if parameters.get("local"):
        raise UsageError("--local is this process alone: leave it out of a job.")
    source = context.get_parameter_source("address")
    # RAY_ADDRESS, which the command would take too, is the job server's here.
    if source is not None and source.name == "COMMANDLINE":
        raise UsageError("A job runs on the cluster that it is sent to: give --address before --.")
    return _JOBS[arguments[0]], parameters


def _resources(parameters: dict[str, Any], workers: str | None, cpus: int, gpus: int) -> Resources:

    own = str(parameters.get("workers") or "1")
    both = (
        ("--workers", workers, own if own != "1" else None),
        ("--cpus-per-worker", cpus, parameters.get("cpus_per_worker")),
        ("--gpus-per-worker", gpus, parameters.get("gpus_per_worker")),
    )
    for option, ours, theirs in both:
        if ours and theirs and str(ours) != str(theirs):
            raise UsageError(
                f"{option} is {ours} before the -- and {theirs} after it: say it once."
            )
    fewest, most = parse_worker_range(workers or own)
    return Resources(
        workers=most,
        min_workers=fewest,
        cpus_per_worker=cpus or parameters.get("cpus_per_worker") or 0,
        gpus_per_worker=gpus or parameters.get("gpus_per_worker") or None,
    )


def _variables(given: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not equals or not name.isidentifier():
            raise UsageError(f"--env {name}: give NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def _tell(what: str, text: str) -> None:
    words = {"server": "Job server  ", "job": "Job         ", "note": "note: "}[what]
    console.err.print(f"{words}{text}", markup=False, soft_wrap=True)
