"""Images decoded once to squares of uint8, and cached in memory or in a file on local disk.

up to memory_limit_bytes    an array in memory, filled when it is opened
above, or from storage      a memory-mapped file in the cache folder, shared by all processes of the
                            machine: the first epoch fills it, later epochs and runs read it
above disk_limit_bytes      images that do not fit into the file are decoded in every epoch
shards larger than the      fetched shard by shard, and decoded, in every epoch (shard_plan.py)
cache folder

Position i has the same image in each case and for any number of workers. A broken image is replaced
by another one that depends only on its row; broken images are counted and reported.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import BrokenImageError, UnreadImageError
from mimic_ray.base.machine_limits import usable_cpus
from mimic_ray.base.machine_memory import machine_memory_bytes
from mimic_ray.base.progress import StepCallback
from mimic_ray.data.broken_images import check_broken
from mimic_ray.data.cache_eviction import limit_bytes
from mimic_ray.data.decode import Pixels8, decode
from mimic_ray.data.encoded_images import FarSource, ImageSource, read_many
from mimic_ray.data.pixel_store import (
    FileStore,
    Flags,
    MemoryStore,
    NoStore,
    PixelStore,
    RowNumbers,
)
from mimic_ray.data.resize import centre_square
from mimic_ray.data.shard_plan import WINDOW
from mimic_ray.data.threads import map_in_order

# For smaller images the GIL costs more than a second thread gains.
_THREADS_FROM_SIDE = 64
# More threads than CPUs, because some wait for the network.
_WAITING_THREADS = 2
_CHUNK = 64
_PASS = 256
_MEMORY_BYTES = 4 << 30


def open_pixels(
    source: ImageSource,
    side: int,
    *,
    memory_limit_bytes: int | None = None,
    disk_limit_bytes: int | None = None,
    broken_share: float = 0.01,
    cache_folder: Path | None = None,
    progress: StepCallback | None = None,
    by_shard: bool = False,
) -> Pixels:
    """The images of `source` as squares of `side` pixels.

    A local set within `memory_limit_bytes` (None: 4 GiB, and at most a quarter of the memory that
    this process can have) is decoded here, and `progress` is called with (images
    done, images in total). Otherwise each image is decoded on first use. `disk_limit_bytes` None
    means the limit of the cache folder. With `by_shard` the caller can read a set that is larger
    than the cache folder in the order of `plan_for`.

    Raises DataError as soon as all images, or more than the share `broken_share`, are found to be
    broken; DiskFullError.
    """
    row_bytes = 3 * side * side
    if memory_limit_bytes is None:
        memory_limit_bytes = min(_MEMORY_BYTES, machine_memory_bytes() // 4 or _MEMORY_BYTES)
    if len(source) * row_bytes <= memory_limit_bytes and not source.remote:
        pixels = Pixels(source, side, MemoryStore(len(source), side), broken_share)
        pixels.decode_all(progress)
        return pixels
    limit = limit_bytes() if disk_limit_bytes is None else disk_limit_bytes
    if isinstance(source, FarSource):
        fetched = source.bring()
        limit = min(limit, limit_bytes() - fetched)
        if by_shard and not fetched and source.can_stream(2 * WINDOW):
            return Pixels(source, side, NoStore(side), broken_share, too_large=True)
    rows = min(len(source), limit // row_bytes)
    store: PixelStore = NoStore(side)
    if rows:
        folder = cache_folder or cache_dir()
        store = FileStore(source.fingerprint, len(source), rows, side, folder)
    return Pixels(source, side, store, broken_share)


class Pixels:
    """Decoded images by position, thread-safe. `fingerprint` is that of the source.

    `source_rows` maps positions to rows of the source. `too_large`: see `ShardedImages`.
    """

    def __init__(
        self,
        source: ImageSource,
        side: int,
        store: PixelStore,
        broken_share: float,
        source_rows: RowNumbers | None = None,
        too_large: bool = False,
    ) -> None:
        self.side, self.too_large = side, too_large
        self.fingerprint = source.fingerprint
        everything = np.arange(len(source), dtype=np.int64)
        self.source_rows = everything if source_rows is None else source_rows
        self._source, self._store, self._broken_share = source, store, broken_share
        self._reasons = dict(store.broken())
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.source_rows)

    @property
    def broken(self) -> list[tuple[str, str]]:
        """(key, reason) of the broken images that any process of this machine has found so far."""
        with self._lock:
            self._reasons.update(self._store.broken())
            found = sorted(self._reasons.items())
        return [(self._source.keys[row], reason) for row, reason in found]

    def gather(self, indices: Tensor) -> Tensor:
        """int64 [B], positions -> uint8 [B, 3, side, side].

        Raises DataError if too many images are broken, StorageError.
        """
        return torch.from_numpy(self._take(self.source_rows[indices.numpy()]))

    def shards(self) -> Tensor:
        """int64 [N]: the number of each image's shard; 0 if there are none."""
        if not isinstance(self._source, FarSource):
            return torch.zeros(len(self), dtype=torch.int64)
        return torch.tensor(self._source.shards())[self.source_rows]

    def expect(self, shards: list[int]) -> None:
        """Fetches the shards of these numbers in this order, as far as there is space."""
        if isinstance(self._source, FarSource):
            self._source.expect(shards)

    def decode_all(self, progress: StepCallback | None = None) -> None:
        """Decodes every image, so that all broken ones are known. Raises DataError."""
        report = progress or (lambda done, total: None)
        total = len(self._source)
        report(0, total)
        for start in range(0, total, _PASS):
            rows = np.arange(start, min(start + _PASS, total), dtype=np.int64)
            images, present = self._store.read(rows)
            self._fill(images, rows, present)
            report(int(rows[-1]) + 1, total)
        self._check_broken()

    def without_broken(self, progress: StepCallback | None = None) -> Pixels:
        """The same images without the broken ones, for statistics over images.

        Decodes all images that have not been decoded yet.
        """
        if not isinstance(self._store, MemoryStore):  # which is filled when it is opened
            self.decode_all(progress)
        whole = [row for row in self.source_rows if row not in self._reasons]
        rows = np.asarray(whole, dtype=np.int64)
        found = Pixels(
            self._source, self.side, self._store, self._broken_share, rows, self.too_large
        )
        found._reasons.update(self._reasons)
        return found

    def _take(self, rows: RowNumbers) -> Pixels8:
        images, present = self._store.read(rows)
        if not present.all():
            for position in self._fill(images, rows, present):
                images[position] = self._replacement(int(rows[position]))
            self._check_broken()
        return images

    def _fill(self, images: Pixels8, rows: RowNumbers, present: Flags) -> list[int]:
        """Decodes the images that are not `present` into `images`; the positions of broken ones."""
        broken = [int(p) for p in np.flatnonzero(~present) if int(rows[p]) in self._reasons]
        missing = np.setdiff1d(np.flatnonzero(~present), broken)
        # In the order of the source, so that one request fetches neighbours.
        missing = missing[np.argsort(rows[missing], kind="stable")]

        def work(chunk: range) -> list[tuple[int, BrokenImageError]]:
            positions = missing[chunk.start : chunk.stop]
            contents = read_many(self._source, rows[positions].tolist())
            failed = []
            for position, content in zip(positions.tolist(), contents, strict=True):
                try:
                    images[position] = self._decoded(content)
                except BrokenImageError as error:
                    failed.append((position, error))
                    continue
                self._store.write(int(rows[position]), images[position])
            return failed

        threads = usable_cpus() if self.side >= _THREADS_FROM_SIDE else 1
        threads += _WAITING_THREADS if self._source.remote else 0
        chunk = min(_CHUNK, max(1, len(missing) // (2 * threads)))
        for _, failed in map_in_order(work, len(missing), chunk, threads):
            for position, error in failed:
                self._add_broken(int(rows[position]), error)
                broken.append(position)
        return broken

    def _decoded(self, content: bytes | BrokenImageError) -> Pixels8:
        """uint8 [3, side, side], a view."""
        if isinstance(content, BrokenImageError):
            raise content
        return centre_square(decode(content), self.side).transpose(2, 0, 1)

    def _replacement(self, broken: int) -> Pixels8:
        """The replacement of a broken image. It depends only on the row and on which images are
        broken, so it is the same for every worker and after a resume."""
        total = len(self._source)
        # Pseudo-random, so that the images of one broken shard get different replacements.
        first = int.from_bytes(hashlib.sha256(str(broken).encode()).digest()[:8]) % total
        for step in range(total):
            row = np.asarray([(first + step) % total], dtype=np.int64)
            images, present = self._store.read(row)
            if present.all() or not self._fill(images, row, present):
                return images[0]
        self._check_broken()
        raise AssertionError("unreachable: every image is broken")

    def _add_broken(self, row: int, error: BrokenImageError) -> None:
        with self._lock:
            self._reasons[row] = error.message
            if not isinstance(error, UnreadImageError):  # which a later run may read
                self._store.add_broken(row, error.message)

    def _check_broken(self) -> None:
        if self._reasons:
            check_broken(self._source, self.broken, self._broken_share)
