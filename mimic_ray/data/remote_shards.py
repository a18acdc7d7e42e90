"""Shards on object storage, read by byte ranges."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import Address
from mimic_ray.data.gzip_tar import GZIP_MAGIC
from mimic_ray.data.manifest import Entry, Index
from mimic_ray.data.names import IMAGE_LIMIT_BYTES, OVER_LIMIT
from mimic_ray.data.remote_file import sequential
from mimic_ray.data.shard_index import INDEX_VERSION, cached_index, index_file

# More threads than cores, because requests mostly wait for the network.
_REQUESTS = 16
# Images closer than this are fetched together: a request takes about 10 ms, in which a connection
# of 25 MB/s transfers as much.
_GAP_BYTES = 256 << 10
_RUN_BYTES = 8 << 20


class RemoteShards:
    """A ShardFolder on object storage. Refuses compressed tars, which cannot be read by range."""

    remote = True

    def __init__(self, address: Address) -> None:
        self._storage = open_storage(address)
        self._sizes = {found.name: found.size for found in self._storage.list(recursive=False)}
        self._pool = ThreadPoolExecutor(_REQUESTS, "range requests")
        weakref.finalize(self, self._pool.shutdown, wait=False)

    def shown(self, name: str = "") -> str:
        return self._storage.shown(name)

    def names(self) -> list[str]:
        return list(self._sizes)

    def read_file(self, name: str) -> bytes | None:
        return self._storage.read_bytes(name) if name in self._sizes else None

    def open(self, name: str) -> int | None:
        return self._sizes.get(name)

    def index(self, name: str) -> Index:
        shown, size = self.shown(name), self._sizes[name]
        what = f"{shown}\0{size}\0{self._storage.version(name)}\0{INDEX_VERSION}"
        identity = hashlib.sha256(what.encode(errors="replace")).hexdigest()[:32]

        def make() -> Index:
            if self._storage.read_range(name, 0, 2) == GZIP_MAGIC:
                raise DataError(
                    f"{shown} is compressed and cannot be read in parts: store it as a plain .tar "
                    "(JPEGs are compressed already)."
                )
            with sequential(self._storage, name, size) as file:
                return index_file(file, size, shown, name)

        return cached_index(identity, make)

    def read_many(self, entries: Sequence[Entry]) -> list[bytes | BrokenImageError]:
        """Uses as few requests as possible, several in parallel."""
        contents: dict[Entry, bytes | BrokenImageError] = {}
        for fetched in self._pool.map(self._fetch, _runs(set(entries))):
            contents.update(fetched)
        return [contents[entry] for entry in entries]

    def _fetch(self, run: list[Entry]) -> dict[Entry, bytes | BrokenImageError]:
        """One request for images that lie close together."""
        if run[0].size > IMAGE_LIMIT_BYTES:
            return {entry: BrokenImageError(OVER_LIMIT) for entry in run}
        start = run[0].offset
        end = max(entry.offset + entry.size for entry in run)
        content = self._storage.read_range(run[0].shard, start, end - start)
        fetched: dict[Entry, bytes | BrokenImageError] = {}
        for entry in run:
            image = content[entry.offset - start : entry.offset - start + entry.size]
            # A shard that is replaced while in use would return other images.
            same = hashlib.sha256(image).hexdigest() == entry.sha256
            fetched[entry] = image if same else BrokenImageError("changed since it was indexed")
        return fetched


def _runs(entries: set[Entry]) -> list[list[Entry]]:
    """Groups images that one range can fetch, of at most `_RUN_BYTES` if there are several."""
    runs: list[list[Entry]] = []
    start = end = 0
    for entry in sorted(entries, key=lambda entry: (entry.shard, entry.offset)):
        stop = entry.offset + entry.size
        near = runs and runs[-1][0].shard == entry.shard and entry.offset - end <= _GAP_BYTES
        if near and stop - start <= _RUN_BYTES:
            runs[-1].append(entry)
            end = max(end, stop)
        else:
            runs.append([entry])
            start, end = entry.offset, stop
    return runs
