"""How fast the machines get encoded images from where they lie."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Bytes/s that one connection gives once it flows, seconds before its first byte, how much one
    request asks for, and how many requests a worker has under way."""

    name: str
    connection: float
    latency_s: float
    request: float
    requests: int

    def worker_bytes_s(self) -> float:
        """What one worker reads, of images that lie next to each other."""
        each = self.latency_s + self.request / self.connection
        return self.requests * self.request / each


SOURCES = {
    source.name: source
    for source in (
        # One NVMe disk of a node or a fast network file system: an assumption, no data sheet.
        Source("local", 1e9, 1e-4, 8 << 20, 1),
        # Amazon S3 user guide, "Performance design patterns": 85 to 90 MB/s a connection and 100 to
        # 200 ms to the first byte. Requests as data/remote_shards.py makes them.
        Source("object", 87e6, 0.15, 8 << 20, 16),
    )
}


def reading_images_s(
    source: Source, image_bytes: int, devices: int, per_node: int, node_mb_s: float = 0
) -> float:
    """Images a second that all nodes together read; `node_mb_s` where a node's rate is known.

    The workers of a node share its disk, but each has its own connections to object storage.
    """
    nodes = -(-devices // per_node)
    if node_mb_s:
        return nodes * node_mb_s * 1e6 / image_bytes
    readers = devices if source.name == "object" else nodes
    return readers * source.worker_bytes_s() / image_bytes
