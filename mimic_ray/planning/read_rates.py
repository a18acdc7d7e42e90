"""Read rates of encoded images from a disk or object storage, in the first epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# So many requests open a set, one after the other (docs/measurements/image-loading_cpu).
_OPENING_REQUESTS = 6


@dataclass(frozen=True)
class Source:
    """Bytes/s of one connection, seconds to its first byte, bytes per request, and the number of
    requests that a node has in progress."""

    name: str
    connection: float
    latency_s: float
    request: float
    requests: int

    def node_bytes_s(self) -> float:
        """For a node that reads whole shards."""
        each = self.latency_s + self.request / self.connection
        return self.requests * self.request / each


SOURCES = {
    source.name: source
    for source in (
        # One NVMe disk per node or a fast network file system: an assumption, not a data sheet.
        Source("local", 1e9, 1e-4, 8 << 20, 1),
        # Amazon S3 user guide, "Performance design patterns": 85 to 90 MB/s per connection and
        # 100 to 200 ms to the first byte. Requests as in data/shard_copies.py.
        Source("object", 87e6, 0.15, 32 << 20, 8),
    )
}


def node_bytes_s(source: Source, node_mb_s: float = 0) -> float:
    """What a node reads; `node_mb_s` if that is known."""
    return node_mb_s * 1e6 or source.node_bytes_s()


def copy_s(source: Source, set_bytes: float, node_mb_s: float = 0) -> float:
    """Seconds in which each node copies a set from object storage, before the first step.

    The images of the first steps are in all shards, so training begins when nearly all are there.
    A small set has fewer requests than a node can have in progress. A set on a disk is not copied.
    """
    if source.name != "object":
        return 0.0
    requests = min(source.requests, max(1, math.ceil(set_bytes / source.request)))
    rate = node_bytes_s(replace(source, requests=requests), node_mb_s)
    return _OPENING_REQUESTS * source.latency_s + set_bytes / rate


def reading_images_s(source: Source, image_bytes: int, nodes: int, node_mb_s: float = 0) -> float:
    """Images per second that all nodes together read from their disks in the first epoch."""
    if source.name == "object":  # from the copy, at the rate of a local disk
        source, node_mb_s = SOURCES["local"], 0
    return nodes * node_bytes_s(source, node_mb_s) / image_bytes
