"""What a running cluster is made of, as its head tells over HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mimic_ray.base.errors import ResourceError
from mimic_ray.base.text import plain
from mimic_ray.distributed import ray_private
from mimic_ray.jobs.job_client import JobClient

# `ray start` brings up the job server first and its own node after it: seconds on a busy machine.
_STARTING_S = 60.0
_POLL_S = 0.5


@dataclass(frozen=True)
class Node:
    ip: str
    head: bool
    resources: Mapping[str, float]


@dataclass(frozen=True)
class ClusterState:
    """`grows` says whether an autoscaler may bring more nodes; by how many it does not tell.

    `interpreter` is the Python that Ray runs with on the head, "python" where that is not known.
    """

    ray: str
    python: str
    nodes: list[Node]
    grows: bool
    interpreter: str = "python"

    @property
    def on_this_machine(self) -> bool:
        """Whether files of this machine are those of the cluster: one node, which is here.

        The address does not tell: a forwarded port looks local too.
        """
        return len(self.nodes) == 1 and _is_own_address(self.nodes[0].ip)


def cluster_state(client: JobClient, starting_s: float = _STARTING_S) -> ClusterState:
    """Waits up to `starting_s` seconds for what a head that is only starting does not tell yet.

    Raises ResourceError where the server does not answer, or has no node by then.
    """
    deadline = time.monotonic() + starting_s
    nodes = _nodes(client, deadline)
    facts = (client.get(ray_private.CLUSTER_METADATA) or {}).get("data", {})
    status = _status(client)
    return ClusterState(
        ray=facts.get("rayVersion", ""),
        python=facts.get("pythonVersion", ""),
        nodes=nodes,
        grows=ray_private.has_autoscaler(status),
        interpreter=_interpreter(client, deadline),
    )


def _nodes(client: JobClient, deadline: float) -> list[Node]:
    while True:
        answer = client.get(ray_private.NODES) or {}
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
                f"The job server at {client.server} answers, and its cluster has no node that is "
                f"alive{f' ({reason})' if reason else ''}: is its head still starting, or dead? "
                "(ray status there)"
            )
        time.sleep(_POLL_S)


def _interpreter(client: JobClient, deadline: float) -> str:
    """A job's shell cannot find it otherwise: a virtual environment may not be on the PATH."""
    while (answer := client.get(ray_private.NODE_SUMMARY)) is not None:
        if found := ray_private.head_interpreter(answer):
            return found
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_S)
    return "python"


def unmet_demand(client: JobClient) -> str:
    """What the cluster is asked for and cannot place, in words; "" if nothing is known of any."""
    report = _status(client).get("loadMetricsReport") or {}
    wants = [
        f"{times} x {_amounts(bundle)}"
        for bundle, times in map(_counted, report.get("resourceDemand") or [])
    ]
    for group, times in map(_counted, report.get("pgDemand") or []):
        bundles = [_counted(bundle) for bundle in group.get("bundles", [])]
        wanted = " and ".join(f"{number} x {_amounts(bundle)}" for bundle, number in bundles)
        wants.append(wanted if times == 1 else f"{times} times {wanted}")
    return ", ".join(wants)


def _status(client: JobClient) -> dict[str, Any]:
    answer = client.get(ray_private.CLUSTER_STATUS) or {}
    return (answer.get("data") or {}).get("clusterStatus") or {}


def _counted(item: Any) -> tuple[Any, int]:
    """Demand comes as pairs of what and how often."""
    what, times = item
    return what, int(times)


def _amounts(bundle: Mapping[str, float]) -> str:
    kinds = [k for k in bundle if not k.startswith(("node:", "bundle_group"))]
    return " + ".join(f"{bundle[kind]:g} {kind}" for kind in kinds) or "nothing"


def _is_own_address(ip: str) -> bool:
    """Only an address of this machine can be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True
