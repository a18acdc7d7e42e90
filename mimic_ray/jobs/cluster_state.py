"""The nodes and versions of a running cluster, read from its head over HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mimic_ray.base.errors import ResourceError
from mimic_ray.base.text import plain
from mimic_ray.jobs import ray_private_jobs
from mimic_ray.jobs.job_client import JobClient

# `ray start` starts the job server first and its own node seconds later.
_STARTING_S = 60.0
_POLL_S = 0.5


@dataclass(frozen=True)
class Node:
    ip: str
    head: bool
    resources: Mapping[str, float]


@dataclass(frozen=True)
class ClusterState:
    """`grows`: an autoscaler may add nodes; the head does not report how many.

    `interpreter` is the Python that Ray runs on the head, "python" if that is unknown.
    """

    ray: str
    python: str
    nodes: list[Node]
    grows: bool
    interpreter: str = "python"

    @property
    def on_this_machine(self) -> bool:
        """Whether this machine is the only node, so that the cluster sees its files.

        The server's address does not show this, because a forwarded port also looks local.
        """
        return len(self.nodes) == 1 and _is_own_address(self.nodes[0].ip)


def cluster_state(client: JobClient, starting_s: float = _STARTING_S) -> ClusterState:
    """Reads the state, and waits up to `starting_s` seconds for a head that is still starting.

    Raises ResourceError if the server does not answer or the cluster still has no node.
    """
    deadline = time.monotonic() + starting_s
    nodes = _nodes(client, deadline)
    facts = (client.get(ray_private_jobs.CLUSTER_METADATA) or {}).get("data", {})
    status = _status(client)
    return ClusterState(
        ray=facts.get("rayVersion", ""),
        python=facts.get("pythonVersion", ""),
        nodes=nodes,
        grows=ray_private_jobs.has_autoscaler(status),
        interpreter=_interpreter(client, deadline),
    )


def _nodes(client: JobClient, deadline: float) -> list[Node]:
    while True:
        answer = client.get(ray_private_jobs.NODES) or {}
        listed = (answer.get("data") or {}).get("result") or {}
        nodes = [
            Node(item["node_ip"], bool(item["is_head_node"]), item["resources_total"])
            for item in listed.get("result", [])
            if item["state"] == "ALIVE"
        ]
        if nodes:
            return nodes
        if time.monotonic() >= deadline:
            reason = plain(str(answer.get("msg") or ""), 200)
            raise ResourceError(
                f"The job server at {client.server} answers, but its cluster has no running node"
                f"{f' ({reason})' if reason else ''}: check the head with `ray status`."
            )
        time.sleep(_POLL_S)


def _interpreter(client: JobClient, deadline: float) -> str:
    """The Python of the head. Its virtual environment may not be on a job's PATH."""
    while (answer := client.get(ray_private_jobs.NODE_SUMMARY)) is not None:
        if found := ray_private_jobs.head_interpreter(answer):
            return found
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    return "python"


def unmet_demand(client: JobClient) -> str:
    """A description of the resources that the cluster cannot provide; "" if it reports none."""
    report = _status(client).get("loadMetricsReport") or {}
    unmet = [
        f"{times} x {_amounts(bundle)}"
        for bundle, times in map(_counted, report.get("resourceDemand") or [])
    ]
    for group, times in map(_counted, report.get("pgDemand") or []):
        bundles = [_counted(bundle) for bundle in group.get("bundles", [])]
        requested = " and ".join(f"{number} x {_amounts(bundle)}" for bundle, number in bundles)
        unmet.append(requested if times == 1 else f"{times} times {requested}")
    return ", ".join(unmet)


def _status(client: JobClient) -> dict[str, Any]:
    answer = client.get(ray_private_jobs.CLUSTER_STATUS) or {}
    return (answer.get("data") or {}).get("clusterStatus") or {}


def _counted(item: Any) -> tuple[Any, int]:
    """Ray reports demand as pairs of a resource bundle and a count."""
    what, times = item
    return what, int(times)


def _amounts(bundle: Mapping[str, float]) -> str:
    kinds = [k for k in bundle if not k.startswith(("node:", "bundle_group"))]
    return " + ".join(f"{bundle[kind]:g} {kind}" for kind in kinds) or "nothing"


def _is_own_address(ip: str) -> bool:
    """Whether `ip` is an address of this machine. Only such an address can be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True
