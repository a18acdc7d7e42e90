"""Which Ray cluster an address means, and whether anything answers there.

Ray itself tries for minutes to reach a cluster that is gone, without a message. Imports no Ray,
so that this can be checked before any work.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from mimic_ray.base.errors import ResourceError, UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.distributed import ray_private_node

VARIABLE = "RAY_ADDRESS"
# Of the connection; the answer of a head takes milliseconds.
_CONNECT_S = 2.0


@dataclass(frozen=True)
class ClusterAddress:
    """HOST:PORT of a head, and where the address comes from; "" if the user gave it."""

    address: str
    source: str = ""

    def __str__(self) -> str:
        return f"{plain(self.address)} ({self.source})" if self.source else plain(self.address)


def find_cluster(address: str, environ: Mapping[str, str] = os.environ) -> ClusterAddress:
    """The cluster of an `address`: HOST:PORT, ray://HOST:PORT, or "auto", which is RAY_ADDRESS,
    else the last `ray start` on this machine, else the only Ray that runs here.

    Raises ResourceError if there is none or nothing accepts a connection within 2 s, UsageError for
    an invalid address.
    """
    found = _named(address, environ)
    if found is None:
        raise ResourceError(
            f"{option('address', 'auto')} found no Ray cluster: {VARIABLE} is not set, and no Ray "
            f"runs on this machine. Set {option('address', 'HOST:PORT')}, or leave it out to run "
            "on this machine alone."
        )
    problem = _problem(found)
    if problem:
        left_over = f" If {VARIABLE} is left over from another cluster, unset it."
        raise ResourceError(
            f"No Ray cluster answers at {found}: {problem}. Check that its head is running and "
            f"that this machine can reach the port; without {option('address')} the command runs "
            f"on this machine alone.{left_over if VARIABLE in found.source else ''}"
        )
    return found


def _named(address: str, environ: Mapping[str, str]) -> ClusterAddress | None:
    if address != "auto":
        return ClusterAddress(address)
    if named := environ.get(VARIABLE):
        return ClusterAddress(named, f"from {VARIABLE}")
    if started := ray_private_node.last_started_cluster(environ):
        return ClusterAddress(started, "the last `ray start` on this machine")
    running = ray_private_node.running_clusters()
    return ClusterAddress(min(running), "the Ray on this machine") if running else None


def _problem(cluster: ClusterAddress) -> str:
    """Why no connection was possible; "" if one was."""
    host, _, port = cluster.address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"{cluster} is not the address of a Ray cluster: use HOST:PORT of its head, such as "
            f"{option('address', '10.0.0.1:6379')}, or {option('address', 'auto')}."
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S):
            return ""
    except TimeoutError:
        return f"no answer within {_CONNECT_S:.0f} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
