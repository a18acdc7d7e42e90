"""A Ray cluster with a token on the hosts of a `network.Lan`, as `ray start` makes it by hand.

with lan("desk", "head", "node1") as network, ray_cluster(network, ["head", "node1"]) as ray:
    ray.join(network.add("node2"))
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.hosts.network import PRIVATE, Host, Lan

# A head takes about 10 s to start, much longer on a busy machine with two cores.
_START_S = 120.0
_TOKEN = PRIVATE / "home" / "token"


@dataclass
class RayCluster:
    """`environment` is what a command needs to connect to it."""

    head: Host
    token: str
    head_cpus: int
    # Settings of Ray's own processes, which are fixed when a node starts.
    system: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(_TOKEN),
            "RAY_worker_niceness": "0",
        }

    @property
    def address(self) -> str:
        return f"{self.head.address}:6379"

    @property
    def jobs_url(self) -> str:
        return f"http://{self.head.address}:8265"

    def give_token(self, host: Host) -> None:
        """Writes the token to the host's own disk, readable only by its owner."""
        path = host.private / _TOKEN.relative_to(PRIVATE)
        path.touch(0o600)
        path.write_text(self.token)

    def start_head(self) -> None:
        self._start(
            self.head,
            *("--head", "--port", "6379", "--dashboard-host", self.head.address),
            "--include-dashboard=true",
            cpus=self.head_cpus,
        )

    def join(self, host: Host) -> None:
        """Makes `host` a node."""
        self._start(host, "--address", self.address, cpus=1)

    def _start(self, host: Host, *how: str, cpus: int) -> None:
        self.give_token(host)
        command = [
            *("ray", "start", *how, "--node-ip-address", host.address),
            *("--num-cpus", str(cpus), "--disable-usage-stats"),
            # Less than Ray's default of 30 % of the memory, which the hosts share.
            *("--object-store-memory", str(128 << 20)),
        ]
        done = host.run(
            command, timeout_s=_START_S, environment={**self.environment, **self.system}
        )
        if done.returncode:
            raise RuntimeError(f"{host.name} did not start Ray: {done.stdout}{done.stderr}")


@contextmanager
def ray_cluster(
    network: Lan,
    nodes: Sequence[str],
    *,
    head_cpus: int = 1,
    system: Mapping[str, str] | None = None,
) -> Iterator[RayCluster]:
    """A head on the first of `nodes` and a worker node with one CPU on each of the others.

    It ends with its hosts. Every other host gets the token as well.
    """
    head, *others = (network[name] for name in nodes)
    cluster = RayCluster(head, secrets.token_hex(32), head_cpus, dict(system or {}))
    cluster.start_head()
    for host in others:
        cluster.join(host)
    for host in network.hosts.values():
        if host.name not in nodes:
            cluster.give_token(host)
    yield cluster


def logs(host: Host) -> str:
    """The last lines of Ray's own logs on this host, for the message of a failed test."""
    folder = host.private / "ray"
    parts = []
    for log in sorted(folder.glob("session_2*/logs/**/*")):
        if log.is_file() and log.stat().st_size:
            parts.append(f"== {log.name}\n{log.read_text(errors='replace')[-2000:]}")
    return "\n".join(parts)
