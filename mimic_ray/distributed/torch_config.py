"""Torch's process group over the network card that carries the cluster's addresses.

gloo binds to the address that the host's own name resolves to. Where that is loopback (Debian's
installer writes 127.0.1.1) or a card that other hosts cannot reach (Docker's has the same address
everywhere), workers on two hosts cannot connect. The address that Ray has for a node is one that
other nodes use.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ray.train.torch import TorchConfig

from mimic_ray.distributed import ray_private

# An all-reduce that takes longer is an error: it ends a rank that waits for one on a lost node, if
# Ray has not noticed the lost node before. Torch's default is 1800.
TIMEOUT_S = 600
# The user's own values win.
VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class ClusterTorchConfig(TorchConfig):
    """Ray's set-up of torch's process group, with the network card and the time limit set."""

    timeout_s: int = TIMEOUT_S

    @property
    def backend_cls(self) -> type:
        return _ClusterTorchBackend


class _ClusterTorchBackend(ray_private.torch_backend()):  # type: ignore[misc]
    """Runs in Train's controller."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        nodes = ray_private.on_each_worker(worker_group, choose_card)
        try:
            super().on_start(worker_group, backend_config)
        except Exception as error:
            message = _not_connected(nodes, error)
            raise ray_private.failed_start(worker_group, message) from None


def choose_card() -> str:
    """Sets this node's card for gloo and NCCL, unless the user has. Returns a description."""
    import ray

    address = ray.util.get_node_ip_address()
    card = card_of(address)
    if card is not None and not ip_address(address).is_loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", card)
        # "=": exactly this card, not each one whose name starts like this.
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={card}")
    chosen = os.environ.get("GLOO_SOCKET_IFNAME", "the address of its host name")
    return f"{socket.gethostname()} ({address}, gloo on {chosen})"


def card_of(address: str) -> str | None:
    """The name of the network card with this IP address, None if there is none."""
    import psutil
    import ray  # noqa: F401  (brings psutil)

    for name, addresses in psutil.net_if_addrs().items():
        if any(found.address == address for found in addresses):
            return name
    return None


def _not_connected(nodes: list[str], error: Exception) -> str:
    last = str(error).strip().splitlines()[-1]
    return (
        f"The workers could not connect to each other: {' and '.join(sorted(set(nodes)))}: {last}. "
        "Every port between the nodes must be open; if they share another network, set "
        f"{' and '.join(VARIABLES)} to its card's name on each node."
    )
