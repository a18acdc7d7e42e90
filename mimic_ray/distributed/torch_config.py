"""How the workers find each other: over the network card that carries the cluster's addresses.

gloo binds to what a host's own name resolves to. Where that is loopback (Debian's installer writes
127.0.1.1) or a card that other hosts do not reach (Docker's has the same address everywhere), the
workers of two hosts never meet. Ray knows better: a node's address is one that other nodes use.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ray.train.torch import TorchConfig

# An all-reduce that takes longer is an error: a rank that waits for one which fell silent is freed
# after this, if Ray has not declared the silent node dead before. Torch's default is 1800.
TIMEOUT_S = 600
# What the user sets wins.
VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@dataclass
class ClusterTorchConfig(TorchConfig):
    """Ray's set-up of torch's process group, on the right network card and with our time limit."""

    timeout_s: int = TIMEOUT_S

    @property
    def backend_cls(self) -> type:
        return _ClusterTorchBackend


class _ClusterTorchBackend(TorchConfig().backend_cls):  # type: ignore[misc]
    """Runs in Train's controller. What it raises is retried as often as a failed start may be."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError

        nodes = worker_group.execute(choose_card)
        try:
            super().on_start(worker_group, backend_config)
        except Exception as error:
            # Ray counts this as an error of its own, never retries it, and leaves the workers'
            # CPUs or GPUs reserved.
            worker_group.abort()
            raise WorkerGroupStartupFailedError(_not_connected(nodes, error)) from None


def choose_card() -> str:
    """Names this node's card to gloo and NCCL, unless the user has. Returns what it found."""
    import ray

    address = ray.util.get_node_ip_address()
    card = card_of(address)
    if card is not None and not ip_address(address).is_loopback:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", card)
        # "=": this card, not each one whose name begins so.
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={card}")
    chosen = os.environ.get("GLOO_SOCKET_IFNAME", "what its host name means")
    return f"{socket.gethostname()} ({address}, gloo on {chosen})"


def card_of(address: str) -> str | None:
    """The name of the network card that has this IP address, None if none has it."""
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
