"""Checks that a command can run on a Ray cluster, and sends it as a job."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.package import __version__
from mimic_ray.base.text import plain
from mimic_ray.jobs import preflight
from mimic_ray.jobs.cluster_state import cluster_state, unmet_demand
from mimic_ray.jobs.ended_job import left_nothing
from mimic_ray.jobs.job_client import Job, JobClient
from mimic_ray.jobs.job_environment import job_environment
from mimic_ray.jobs.job_request import JobCommand, check_name
from mimic_ray.jobs.secret_scan import refuse_secrets
from mimic_ray.jobs.server_address import JobServer, job_server, risks

_POLL_S = 0.5
# How long a job waits for an autoscaler, unless its command line sets this.
_CAPACITY_TIMEOUT_S = 1800
_VARIABLES = {
    "PYTHONUNBUFFERED": "1",
    # Time for the workers to write a checkpoint after "stop". Ray's default is 3 s.
    "RAY_JOB_STOP_WAIT_TIME_S": "120",
}


@dataclass(frozen=True)
class Submitted:
    """A job on its server. `fresh` is False if a job of that name was already running."""

    job: Job
    client: JobClient
    fresh: bool


def submit(
    command: JobCommand,
    *,
    address: str | None = None,
    name: str | None = None,
    variables: Mapping[str, str] | None = None,
    shared: Sequence[str] = (),
    insecure: bool = False,
    report: Callable[[str, str], None] = lambda what, text: None,
) -> Submitted:
    """Starts `command` as a job named `name`, by default its `default_name`.

    Local inputs and outputs must be below a folder of `shared`, unless the cluster consists of this
    machine only. `report("server" | "job" | "note", text)` is called before anything is sent.
    Raises a MimicError, without sending anything, if the job cannot succeed.
    """
    if name:
        check_name(name)
    refuse_secrets(variables or {}, command.words)
    server = job_server(address, insecure=insecure)
    report("server", _described(server))
    for risk in risks(server):
        report("note", risk)
    name = name or command.default_name
    report("job", f"{name}: {command.shown}")
    client = JobClient(server)
    known = client.find(name)
    if known is not None and not known.over:
        if known.command != command.shown:
            report("note", f"the job of that name is running {plain(known.command, 500)}")
        return Submitted(known, client, fresh=False)
    cluster = cluster_state(client)
    sees_paths = preflight.sees_paths(cluster, shared)
    if known is not None and not left_nothing(known, sees_paths=sees_paths):
        raise _name_is_taken(known, server)
    preflight.check_versions(cluster)
    notes = preflight.check_locations(cluster, command.locations, shared)
    for note in notes + preflight.check_cluster_capacity(cluster, command.resources):
        report("note", note)
    command.check(sees_paths)
    if known is not None:
        report("note", f"the job of that name ({known.state}) left nothing and is replaced")
        if not client.delete(name):
            raise _name_is_taken(known, server)
    entrypoint = command.entrypoint(
        cluster.interpreter, _CAPACITY_TIMEOUT_S if cluster.grows else 0
    )
    _send(client, name, command, entrypoint, variables or {})
    return Submitted(client.job(name), client, fresh=True)


def wait_for_start(client: JobClient, job: Job, timeout_s: float) -> Job:
    """Waits until the job runs or has ended, at most `timeout_s` seconds, and returns it."""
    deadline = time.monotonic() + timeout_s
    while job.state == "PENDING" and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        job = client.job(job.id)
    return job


def pending_reason(client: JobClient, job: Job) -> str:
    """Why a job has not started, according to the cluster."""
    reasons = [job.message.strip().rstrip(".")] if job.message else []
    if demand := unmet_demand(client):
        reasons.append(f"the cluster does not have {demand}")
    return "; ".join(reasons) or "the job server gives no reason"


def _described(server: JobServer) -> str:
    return f"{server}, " + (f"token in {server.token}" if server.token else "no token")


def _name_is_taken(known: Job, server: JobServer) -> UsageError:
    return UsageError(
        f"The job {known.id} has ended ({known.state}; mimic-ray logs {known.id}{server.option}): "
        f"use another {option('name')} to run it again, and {option('resume')} after the -- to "
        "continue from its last checkpoint."
    )


def _send(
    client: JobClient,
    name: str,
    command: JobCommand,
    entrypoint: str,
    variables: Mapping[str, str],
) -> None:
    """Copies the files of the command to a new folder, so that nothing else is uploaded."""
    with tempfile.TemporaryDirectory(prefix="mimic-ray-job-") as folder:
        files = None
        if command.files:
            files = Path(folder) / "files"
            files.mkdir()
            for name_in_job, path in command.files.items():
                shutil.copyfile(path, files / name_in_job)
        on_one_node, each = not command.spreads, command.resources
        client.submit(
            name,
            entrypoint,
            environment=job_environment(files, {**_VARIABLES, **variables}),
            metadata={
                "mimic-ray": __version__,
                "command": command.shown,
                "out": command.out,
            },
            # A command that starts its own workers needs nothing for its driver.
            cpus=max(1, each.cpus_per_worker) if on_one_node else 0,
            gpus=each.gpus_per_worker or 0 if on_one_node else 0,
        )
