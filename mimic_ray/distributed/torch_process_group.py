"""Torch's process group on the network interface of the cluster's addresses.

gloo binds to the address of the host's own name. If that is loopback (Debian's installer writes
127.0.1.1) or an interface that other hosts cannot reach (Docker's has the same address everywhere),
workers on two hosts cannot connect. Ray's address of a node is reachable from other nodes.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ray.train.torch import TorchConfig

from mimic_ray.distributed import ray_private
from mimic_ray.distributed.ray_errors import USUAL_END

# Timeout of a collective. It ends a rank that waits for a lost node that Ray has not noticed.
# Torch's default is 1800 s.
TIMEOUT_S = 600
# Values set by the user have precedence.
VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class ClusterTorchConfig(TorchConfig):
    """Ray's set-up of torch's process group, with the network interface and the timeout."""

    timeout_s: int = TIMEOUT_S

    @property
    def backend_cls(self) -> type:
        return _ClusterTorchBackend


class _ClusterTorchBackend(ray_private.torch_backend()):  # type: ignore[misc]
    """Runs in Train's controller."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        nodes = ray_private.on_each_worker(worker_group, choose_interface)
        try:
            super().on_start(worker_group, backend_config)
        except Exception as error:
            message = _not_connected(nodes, error)
            raise ray_private.failed_start(worker_group, message) from None


def choose_interface() -> str:
    """Sets the interface for gloo and NCCL, unless the user has. Returns a description."""
    import ray

    address = ray.util.get_node_ip_address()
    interface = interface_of(address)
    if interface is not None and not ip_address(address).is_loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        # "=" selects exactly this interface instead of all with this prefix.
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={interface}")
    chosen = os.environ.get("GLOO_SOCKET_IFNAME", "the address of its host name")
    return f"{socket.gethostname()} ({address}, gloo on {chosen})"


def interface_of(address: str) -> str | None:
    """The name of the network interface with this IP address, None if there is none."""
    import psutil
    import ray  # noqa: F401  (includes psutil)

    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address == address for found in addresses):
            return name
    return None


def _not_connected(nodes: list[str], error: Exception) -> str:
    last = str(error).strip().splitlines()[-1]
    if len(set(nodes)) == 1:  # no network is between them
        return (
            f"The workers on {nodes[0]} could not connect to each other: {last}. One of them "
            f"probably ended ({USUAL_END})."
        )
    return (
        f"The workers could not connect to each other: {' and '.join(sorted(set(nodes)))}: {last}. "
        "All ports between the nodes must be open. If they share another network, set "
        f"{' and '.join(VARIABLES)} to the name of its interface on each node."
    )
