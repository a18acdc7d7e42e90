"""Sends a command as a job to a Ray cluster, once it is known that it can succeed there."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mimic_ray
from mimic_ray.base.errors import UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.base.text import plain
from mimic_ray.jobs import preflight
from mimic_ray.jobs.cluster_state import cluster_state, unmet_demand
from mimic_ray.jobs.job_client import Job, JobClient
from mimic_ray.jobs.job_request import Request, check_name, make_request
from mimic_ray.jobs.secret_scan import refuse_secrets
from mimic_ray.jobs.server_address import JobServer, job_server, risks
from mimic_ray.jobs.wheel import build_wheel

_POLL_S = 0.5
# What a job gives an autoscaler to bring its nodes, where the command does not say.
_ROOM_S = 1800
_VARIABLES = {
    "PYTHONUNBUFFERED": "1",
    # After "stop", time for the workers to commit. Ray would kill the driver after 3 s.
    "RAY_JOB_STOP_WAIT_TIME_S": "120",
    # No terminal there: a line now and then, see cli/progress_bars.py.
    "MIMIC_RAY_PROGRESS_S": "30",
}


@dataclass(frozen=True)
class Submitted:
    """A job on its server. `fresh` is False where a job of that name was running already."""

    job: Job
    client: JobClient
    fresh: bool


def submit(
    arguments: Sequence[str],
    *,
    address: str | None = None,
    name: str | None = None,
    resources: Resources,
    spreads: bool = True,
    variables: Mapping[str, str] | None = None,
    shared: Sequence[str] = (),
    insecure: bool = False,
    tell: Callable[[str, str], None] = lambda what, text: None,
) -> Submitted:
    """Starts the job of a checked command line, such as ["purify", "--encoder", ...].

    `spreads` says whether the command uses the whole cluster by itself; one that does not runs on
    a node that fits one worker of `resources`. `tell("server" | "job" | "note", text)` before
    anything is sent. Raises a MimicError, and has sent nothing then.
    """
    if name:
        check_name(name)
    refuse_secrets(variables or {}, arguments)
    server = job_server(address, insecure=insecure)
    tell("server", _described(server))
    for risk in risks(server):
        tell("note", risk)
    request = make_request(arguments, name, resources, spreads)
    tell("job", f"{request.name}: {request.command}")
    client = JobClient(server)
    if (known := client.find(request.name)) is not None:
        running = _still_running(known, server)
        if running.command != request.command:
            tell("note", f"the job of that name is another: {plain(running.command, 500)}")
        return Submitted(running, client, fresh=False)
    cluster = cluster_state(client)
    preflight.check_versions(cluster)
    notes = preflight.check_places(cluster, request.places, shared)
    for note in notes + preflight.check_cluster_capacity(cluster, resources):
        tell("note", note)
    more = request.patience(_ROOM_S) if cluster.grows else []
    _send(client, request, request.entrypoint(cluster.interpreter, more), variables or {})
    return Submitted(client.job(request.name), client, fresh=True)


def wait_for_start(client: JobClient, job: Job, timeout_s: float) -> Job:
    """The job once it runs or has ended, or as it is after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while job.state == "PENDING" and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        job = client.job(job.id)
    return job


def what_it_waits_for(client: JobClient, job: Job) -> str:
    """Why a job has not begun, as far as the cluster knows."""
    reasons = [job.message.strip().rstrip(".")] if job.message else []
    if demand := unmet_demand(client):
        reasons.append(f"the cluster cannot place {demand}")
    return "; ".join(reasons) or "the job server gives no reason"


def _described(server: JobServer) -> str:
    return f"{server}, " + (f"token in {server.token}" if server.token else "no token")


def _still_running(known: Job, server: JobServer) -> Job:
    if known.over:
        raise UsageError(
            f"A job called {known.id} has ended already ({known.state}; mimic-ray logs {known.id}"
            f"{server.option}): give another --name to run it again, and --resume after the -- to "
            "go on with what it committed."
        )
    return known


def _send(
    client: JobClient, request: Request, entrypoint: str, variables: Mapping[str, str]
) -> None:
    """What travels lies in a folder of its own, so that nothing else can."""
    with tempfile.TemporaryDirectory(prefix="mimic-ray-job-") as folder:
        files = None
        if request.files:
            files = Path(folder) / "files"
            files.mkdir()
            for there, here in request.files.items():
                shutil.copyfile(here, files / there)
        client.submit(
            request.name,
            entrypoint,
            wheel=build_wheel(Path(folder)),
            files=files,
            variables={**_VARIABLES, **variables},
            metadata={
                "mimic-ray": mimic_ray.__version__,
                "command": request.command,
                "out": request.places.out,
            },
            # A command that spreads asks for its workers itself; its driver only watches them.
            cpus=max(1.0, request.resources.cpus_per_worker) if request.on_one_node else 0,
            gpus=request.resources.gpus_per_worker or 0 if request.on_one_node else 0,
        )
