"""A fake job server: jobs by name, their log, and missing resources."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.jobs.cluster_state import ClusterState, Node
from mimic_ray.jobs.job_client import Job
from mimic_ray.jobs.server_address import JobServer


class FakeJobs:
    """The part of JobClient that commands use. A job in `later` has that state when read again."""

    def __init__(self, *jobs: Job) -> None:
        self.by_name = {job.id: job for job in jobs}
        self.server = JobServer("http://head:8265", "--address")
        self.log = "line 1\nline 2\n"
        self.later: dict[str, str] = {}
        self.sent: list[SimpleNamespace] = []
        self.demand: list[object] = []

    def job(self, name: str) -> Job:
        if name not in self.by_name:
            raise UnknownNameError("job", name, [*self.by_name])
        job = self.by_name[name]
        if name in self.later:
            state = self.later.pop(name)
            self.by_name[name] = replace(
                job, state=state, exit_code=0 if state == "SUCCEEDED" else 1
            )
        return job

    def find(self, name: str) -> Job | None:
        return self.by_name.get(name)

    def jobs(self) -> list[Job]:
        return [*self.by_name.values()]

    def logs(self, name: str) -> str:
        assert name in self.by_name
        return self.log

    async def tail(self, name: str):
        yield self.logs(name)

    def stop(self, name: str, wait_s: float) -> Job:
        assert wait_s
        self.job(name)
        return self.by_name[name]

    def submit(self, name: str, entrypoint: str, **how: object) -> None:
        self.sent.append(SimpleNamespace(name=name, entrypoint=entrypoint, **how))
        self.by_name[name] = Job(name, "PENDING", metadata=how["metadata"])

    def delete(self, name: str) -> bool:
        del self.by_name[name]
        return True

    def get(self, path: str) -> object:
        if "cluster_status" in path:
            report = {"loadMetricsReport": {"resourceDemand": self.demand}}
            return {"data": {"clusterStatus": report}}
        return None


class _EmptyStorage:
    def find(self, name):  # noqa: ARG002 - the storage's
        return None


def fake_server(patch: pytest.MonkeyPatch, *jobs: Job) -> FakeJobs:
    """`submit` uses the returned server, on a cluster of this machine with 8 CPUs and 2 GPUs."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        patch.delenv(name, raising=False)
    patch.setenv("RAY_AUTH_MODE", "disabled")
    found = FakeJobs(*jobs)
    here = Node("127.0.0.1", True, {"CPU": 8.0, "GPU": 2.0})
    workflow = "mimic_ray.workflows.submit"
    patch.setattr(f"{workflow}.JobClient", lambda server: found)
    patch.setattr(
        f"{workflow}.cluster_state",
        lambda client: ClusterState("", "", [here], True, "/env/python"),
    )
    patch.setattr("mimic_ray.jobs.preflight.open_storage", lambda address: _EmptyStorage())
    return found
