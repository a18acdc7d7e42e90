"""Read rates of encoded images from a disk or object storage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Bytes/s of one connection, seconds to its first byte, bytes per request, and the number of
    requests that a worker has in progress."""

    name: str
    connection: float
    latency_s: float
    request: float
    requests: int

    def worker_bytes_s(self) -> float:
        """For one worker that reads neighbouring images."""
        each = self.latency_s + self.request / self.connection
        return self.requests * self.request / each


SOURCES = {
    source.name: source
    for source in (
        # One NVMe disk per node or a fast network file system: an assumption, not a data sheet.
        Source("local", 1e9, 1e-4, 8 << 20, 1),
        # Amazon S3 user guide, "Performance design patterns": 85 to 90 MB/s per connection and
        # 100 to 200 ms to the first byte. Requests as in data/remote_shards.py.
        Source("object", 87e6, 0.15, 8 << 20, 16),
    )
}


def reading_images_s(
    source: Source, image_bytes: int, devices: int, per_node: int, node_mb_s: float = 0
) -> float:
    """Images per second read by all nodes together; `node_mb_s` if the rate of a node is known.

    Workers on a node share its disk, but each has its own connections to object storage.
    """
    nodes = -(-devices // per_node)
    if node_mb_s:
        return nodes * node_mb_s * 1e6 / image_bytes
    readers = devices if source.name == "object" else nodes
    return readers * source.worker_bytes_s() / image_bytes
