"""Images in tar files on object storage, read by ranges. No shard is ever copied as a whole."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import cached_property

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.locks import alone
from mimic_ray.base.storage import Found, open_storage
from mimic_ray.base.storage_address import Address
from mimic_ray.base.text import count
from mimic_ray.data import manifest
from mimic_ray.data.fingerprint import remember
from mimic_ray.data.manifest import CLASSES, MANIFEST, SET, Entry
from mimic_ray.data.names import IMAGE_LIMIT_BYTES, cache_folder, is_shard_name
from mimic_ray.data.remote_file import sequential
from mimic_ray.data.tar_shards import check_reach, check_size, entries_of, key_twice
from mimic_ray.data.unpack import GZIP_MAGIC

# Requests wait for the network, hardly for this machine.
_REQUESTS = 16
# Images this close are fetched together: a request costs about 10 ms, in which a connection of
# 25 MB/s brings as much.
_GAP_BYTES = 256 << 10
_RUN_BYTES = 8 << 20
_INDEX_VERSION = "1"


class RemoteShards:
    """The images of some tars below an address, in the order of the tars and of their members.

    `names` are the tars, or patterns of them; None means those of the manifest, else all there.
    With a manifest nothing but that is read here. Without one each tar is read through once, in
    order, and its index remembered in the cache folder.

    Raises DataError for a tar that is damaged, cut, compressed or foreign, for a key that occurs
    twice, and if there is no image at all; StorageError.
    """

    def __init__(self, address: Address, names: Sequence[str] | None = None) -> None:
        self.location = address.shown
        self._storage = open_storage(address)
        there = {found.name: found for found in self._storage.list(recursive=False)}
        listed = self._listed(there)
        chosen = self._chosen(names, list(there), listed)
        self.entries: list[Entry] = []
        for name in chosen:
            if name not in there:
                raise self._missing(name, listed)
            if name in listed:
                check_reach(self._storage.shown(name), there[name].size, listed[name])
            self.entries += listed.get(name) or self._index(there[name])
        self.keys = [entry.key for entry in self.entries]
        if not self.keys:
            raise DataError(f"{self.location} holds {count(len(chosen), 'tar')} and not one image.")
        if len(set(self.keys)) < len(self.keys):
            raise key_twice(self.entries)
        self._has_classes = CLASSES in there
        self._pool = ThreadPoolExecutor(_REQUESTS, "range requests")
        weakref.finalize(self, self._pool.shutdown, wait=False)

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        content = self.read_many([index])[0]
        if isinstance(content, BrokenImageError):
            raise content
        return content

    def read_many(self, indices: Sequence[int]) -> list[bytes | BrokenImageError]:
        """The encoded images in the order asked, by as few requests as that takes, many at once.

        Raises StorageError when the storage fails: that is no property of an image.
        """
        contents: dict[int, bytes | BrokenImageError] = {}
        runs = _runs([(index, self.entries[index]) for index in sorted(set(indices))])
        for fetched in self._pool.map(self._fetch, runs):
            contents.update(fetched)
        return [contents[index] for index in indices]

    @cached_property
    def fingerprint(self) -> str:
        return manifest.fingerprint(self.entries)

    @cached_property
    def labels(self) -> list[int] | None:
        return manifest.labels(self.entries)

    @cached_property
    def classes(self) -> list[str] | None:
        if not self._has_classes:
            return None
        return manifest.parse_classes(self._storage.read_bytes(CLASSES))

    def _fetch(self, run: list[tuple[int, Entry]]) -> list[tuple[int, bytes | BrokenImageError]]:
        """One request for images that lie close together."""
        if run[0][1].size > IMAGE_LIMIT_BYTES:
            return [
                (row, BrokenImageError(f"over the limit of {IMAGE_LIMIT_BYTES >> 20} MiB a file"))
                for row, _ in run
            ]
        start = run[0][1].offset
        end = max(entry.offset + entry.size for _, entry in run)
        content = self._storage.read_range(run[0][1].shard, start, end - start)
        fetched: list[tuple[int, bytes | BrokenImageError]] = []
        for row, entry in run:
            image = content[entry.offset - start : entry.offset - start + entry.size]
            # A shard that is replaced while it is in use would show other images.
            whole = hashlib.sha256(image).hexdigest() == entry.sha256
            fetched.append((row, image if whole else BrokenImageError("is not what was indexed")))
        return fetched

    def _listed(self, there: dict[str, Found]) -> dict[str, list[Entry]]:
        """shard name -> its entries, of the manifest if there is one."""
        listed: dict[str, list[Entry]] = {}
        if MANIFEST not in there:
            return listed
        content = self._storage.read_bytes(MANIFEST)
        for entry in manifest.parse_manifest(content, self._storage.shown(MANIFEST)):
            listed.setdefault(entry.shard, []).append(entry)
        if SET in there:
            facts = manifest.parse_set(self._storage.read_bytes(SET), self._storage.shown(SET))
            for shard in facts.shards:
                if shard.name in there:
                    check_size(self._storage.shown(shard.name), there[shard.name].size, shard.bytes)
        return listed

    def _chosen(
        self, names: Sequence[str] | None, there: Sequence[str], listed: dict[str, list[Entry]]
    ) -> list[str]:
        if names is None:
            chosen = list(listed) or [name for name in there if is_shard_name(name)]
        else:
            chosen = []
            for name in names:
                # A name out of braces is a promise; a star stands for whatever is there.
                starred = any(sign in name for sign in "*?[")
                chosen += [n for n in there if fnmatchcase(n, name)] if starred else [name]
        if not chosen:
            held = f"only {count(len(there), 'other file')}" if there else "nothing"
            raise DataError(
                f"{self.location} holds no .tar shards, {held}: check the address, or make shards "
                "with `mimic-ray shards build` and copy them there."
            )
        return chosen

    def _missing(self, name: str, listed: dict[str, list[Entry]]) -> DataError:
        promised = ""
        if name in listed:
            promised = f", and {MANIFEST} names {count(len(listed[name]), 'image')} in it"
        return DataError(f"{self._storage.shown(name)} does not exist{promised}.")

    def _index(self, found: Found) -> list[Entry]:
        shown = self._storage.shown(found.name)
        version = self._storage.version(found.name)
        what = f"{shown}\0{found.size}\0{version}\0{_INDEX_VERSION}"
        identity = hashlib.sha256(what.encode(errors="replace")).hexdigest()[:32]
        kept = cache_folder() / "indexes" / f"{identity}.parquet"
        # Reading a shard through is the dear part: one process does it, the others wait.
        with alone(cache_folder() / "locks" / f"{identity}.making"):
            if kept.is_file():
                return manifest.read_manifest(kept)
            if self._storage.read_range(found.name, 0, 2) == GZIP_MAGIC:
                raise DataError(
                    f"{shown} is compressed, and ranges of a compressed file mean nothing: store "
                    "it as a plain .tar (JPEGs are compressed already)."
                )
            with sequential(self._storage, found.name, found.size) as file:
                entries = entries_of(file, found.size, shown, found.name)
            remember(kept, manifest.to_parquet(entries))
        return entries


def _runs(wanted: Sequence[tuple[int, Entry]]) -> list[list[tuple[int, Entry]]]:
    """Images grouped so that one range brings each group, at most `_RUN_BYTES` long if several."""
    runs: list[list[tuple[int, Entry]]] = []
    start = end = 0
    shard = ""
    for row, entry in sorted(wanted, key=lambda item: (item[1].shard, item[1].offset)):
        stop = entry.offset + entry.size
        near = entry.shard == shard and entry.offset - end <= _GAP_BYTES
        if runs and near and stop - start <= _RUN_BYTES:
            runs[-1].append((row, entry))
            end = max(end, stop)
        else:
            runs.append([(row, entry)])
            shard, start, end = entry.shard, entry.offset, stop
    return runs
