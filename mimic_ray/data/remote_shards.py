"""Shards on object storage, read by byte ranges or from copies on local disk."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from mimic_ray.base.errors import BrokenImageError, DataError, UnreadImageError
from mimic_ray.base.storage import open_storage
from mimic_ray.base.storage_address import Address
from mimic_ray.data.gzip_tar import GZIP_MAGIC
from mimic_ray.data.manifest import Entry, Index, by_shard
from mimic_ray.data.names import IMAGE_LIMIT_BYTES, OVER_LIMIT, is_shard
from mimic_ray.data.remote_file import sequential
from mimic_ray.data.shard_copies import ShardCopies, fits, fits_some
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
        self._found = {found.name: found for found in self._storage.list(recursive=False)}
        self._copies: ShardCopies | None = None
        self._pool = ThreadPoolExecutor(_REQUESTS, "range requests")
        weakref.finalize(self, self._pool.shutdown, wait=False)

    def shown(self, name: str = "") -> str:
        return self._storage.shown(name)

    def names(self) -> list[str]:
        return list(self._found)

    def folders(self) -> list[str]:
        return self._storage.folders()

    def read_file(self, name: str) -> bytes | None:
        return self._storage.read_bytes(name) if name in self._found else None

    def open(self, name: str) -> int | None:
        found = self._found.get(name)
        return found.size if found else None

    def bring(self, names: Collection[str]) -> int:
        """Fetches these shards to local disk, if the cache folder has space for them.

        Returns at once: the bytes that they take there, 0 if they are not fetched. From now on
        images are read from there.
        """
        shards = {name: self._found[name] for name in names}
        if self._copies is None and fits(shards.values()):
            self._copies = ShardCopies(self._storage, shards)
        return sum(shard.size for shard in shards.values()) if self._copies else 0

    def has_space(self, names: Collection[str], used: int) -> bool:
        return fits_some([self._found[name] for name in names], used)

    def expect(self, names: Sequence[str]) -> None:
        if self._copies is None:
            # All, because the workers of a machine share the space.
            shards = {name: found for name, found in self._found.items() if is_shard(name)}
            self._copies = ShardCopies(self._storage, shards, too_large=True)
        self._copies.expect(names)

    def index(self, name: str) -> Index:
        shown, size = self.shown(name), self._found[name].size
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
        """From the copies; others with as few requests as possible, several in parallel."""
        copies = self._copies
        others = {entry for entry in entries if not (copies and entry.shard in copies)}
        contents: dict[Entry, bytes | BrokenImageError] = {}
        if copies:
            contents.update(_copied(copies, [entry for entry in entries if entry not in others]))
        for fetched in self._pool.map(self._fetch, _runs(others)):
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
            fetched[entry] = _checked(image, entry)
        return fetched


def _copied(copies: ShardCopies, entries: Sequence[Entry]) -> dict[Entry, bytes | BrokenImageError]:
    contents: dict[Entry, bytes | BrokenImageError] = {}
    for shard, listed in by_shard(entries).items():
        with copies.open(shard) as file:
            for entry in listed:
                if entry.size > IMAGE_LIMIT_BYTES:
                    contents[entry] = BrokenImageError(OVER_LIMIT)
                else:
                    image = os.pread(file.fileno(), entry.size, entry.offset)
                    contents[entry] = _checked(image, entry)
    return contents


def _checked(image: bytes, entry: Entry) -> bytes | BrokenImageError:
    """A shard that is replaced while in use would return other images."""
    same = hashlib.sha256(image).hexdigest() == entry.sha256
    return image if same else UnreadImageError("changed since it was indexed")


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
