"""Every image decoded once and kept: squares of uint8, in memory or in a file on local disk.

up to memory_limit_bytes    an array in memory, filled when it is opened
above, or from storage      a memory-mapped file in the cache folder, for all processes here; the
                            first epoch streams and fills it, later epochs and runs read it
above disk_limit_bytes      the images that do not fit the file are decoded in each epoch

Whichever it is, and however many workers there are, position i shows the same image. One that is
broken is replaced by another whose number follows from its own, is counted and named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.text import count, plain
from mimic_ray.data.cache_eviction import limit_bytes
from mimic_ray.data.decode import Pixels8, decode
from mimic_ray.data.image_source import ImageSource, RemoteSource, read_many
from mimic_ray.data.names import cache_folder as default_cache_folder
from mimic_ray.data.pixel_store import Flags, InFile, InMemory, Kept, Nowhere, Rows
from mimic_ray.data.resize import centre_square
from mimic_ray.data.threads import in_order, usable_cpus

Progress = Callable[[int, int], None]

# Below this the interpreter's lock costs more than a second thread brings.
_THREADS_FROM_SIDE = 64
# Beside those that decode, some wait for the network.
_WAITING_THREADS = 2
_CHUNK = 64
_PASS = 256


def open_pixels(
    source: ImageSource,
    side: int,
    *,
    memory_limit_bytes: int = 4 << 30,
    disk_limit_bytes: int | None = None,
    broken_share: float = 0.01,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """The images of `source` as squares of `side` pixels.

    What fits `memory_limit_bytes` is decoded here, and `progress` is told (images done, images in
    all); else images are decoded when they are first asked for. `disk_limit_bytes` None is the
    limit of the cache folder.

    Raises DataError if more than `broken_share` of the images are broken or none is left, here or
    as soon as that is seen; DiskFullError.
    """
    row_bytes = 3 * side * side
    if len(source) * row_bytes <= memory_limit_bytes and not isinstance(source, RemoteSource):
        pixels = Pixels(source, side, InMemory(len(source), side), broken_share)
        pixels.decode_all(progress)
        return pixels
    limit = limit_bytes() if disk_limit_bytes is None else disk_limit_bytes
    rows = min(len(source), limit // row_bytes)
    kept: Kept = Nowhere(side)
    if rows:
        folder = cache_folder or default_cache_folder()
        kept = InFile(source.fingerprint, len(source), rows, side, folder)
    return Pixels(source, side, kept, broken_share)


class Pixels:
    """Images by position; any thread may gather. `fingerprint` is that of their source.

    `kept` says which image of the source each position stands for.
    """

    def __init__(
        self,
        source: ImageSource,
        side: int,
        rows: Kept,
        broken_share: float,
        kept: Rows | None = None,
    ) -> None:
        self.side = side
        self.fingerprint = source.fingerprint
        self.kept = np.arange(len(source), dtype=np.int64) if kept is None else kept
        self._source, self._rows, self._broken_share = source, rows, broken_share
        self._reasons = dict(rows.broken())
        self._lock = Lock()
        self._remote = isinstance(source, RemoteSource)

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def broken(self) -> list[tuple[str, str]]:
        """(key, reason) of the images found broken so far, by any process of this machine."""
        with self._lock:
            self._reasons.update(self._rows.broken())
            found = sorted(self._reasons.items())
        return [(self._source.keys[row], reason) for row, reason in found]

    def gather(self, indices: Tensor) -> Tensor:
        """int64 [B], positions -> uint8 [B, 3, side, side].

        Raises DataError when too many images are broken, StorageError.
        """
        return torch.from_numpy(self._take(self.kept[indices.numpy()]))

    def decode_all(self, progress: Progress | None = None) -> None:
        """Looks at every image once, so that all that are broken are known. Raises DataError."""
        tell = progress or (lambda done, total: None)
        total = len(self._source)
        tell(0, total)
        for start in range(0, total, _PASS):
            rows = np.arange(start, min(start + _PASS, total), dtype=np.int64)
            images, there = self._rows.read(rows)
            self._fill(images, rows, there)
            tell(int(rows[-1]) + 1, total)
        self._check_broken()

    def without_broken(self, progress: Progress | None = None) -> Pixels:
        """The same images without the broken ones, for whoever counts images rather than trains.

        Looks at every image that was not looked at before.
        """
        if not isinstance(self._rows, InMemory):  # those were all decoded when they were opened
            self.decode_all(progress)
        kept = np.asarray([row for row in self.kept if row not in self._reasons], dtype=np.int64)
        return Pixels(self._source, self.side, self._rows, self._broken_share, kept)

    def _take(self, rows: Rows) -> Pixels8:
        images, there = self._rows.read(rows)
        if not there.all():
            for position in self._fill(images, rows, there):
                images[position] = self._substitute(int(rows[position]))
            self._check_broken()
        return images

    def _fill(self, images: Pixels8, rows: Rows, there: Flags) -> list[int]:
        """Decodes what is not `there` into `images`; the positions of the broken ones."""
        broken = [int(p) for p in np.flatnonzero(~there) if int(rows[p]) in self._reasons]
        wanted = np.setdiff1d(np.flatnonzero(~there), broken)
        # In the order of the source: neighbours come by one request.
        wanted = wanted[np.argsort(rows[wanted], kind="stable")]

        def work(chunk: range) -> list[tuple[int, str]]:
            positions = wanted[chunk.start : chunk.stop]
            contents = read_many(self._source, rows[positions].tolist())
            failed = []
            for position, content in zip(positions.tolist(), contents, strict=True):
                try:
                    images[position] = self._decoded(content)
                except BrokenImageError as error:
                    failed.append((position, error.message))
                    continue
                self._rows.keep(int(rows[position]), images[position])
            return failed

        threads = usable_cpus() if self.side >= _THREADS_FROM_SIDE else 1
        threads += _WAITING_THREADS if self._remote else 0
        chunk = min(_CHUNK, max(1, len(wanted) // (2 * threads)))
        for _, failed in in_order(work, len(wanted), chunk, threads):
            for position, reason in failed:
                self._note_broken(int(rows[position]), reason)
                broken.append(position)
        return broken

    def _decoded(self, content: bytes | BrokenImageError) -> Pixels8:
        """uint8 [3, side, side], a view."""
        if isinstance(content, BrokenImageError):
            raise content
        return centre_square(decode(content), self.side).transpose(2, 0, 1)

    def _substitute(self, broken: int) -> Pixels8:
        """The image that stands for a broken one: a function of its number and of which images
        are broken, so that it is the same for every worker, now and after a resume."""
        total = len(self._source)
        # Scattered, so that the images of one broken shard are not all replaced by its neighbour.
        first = int.from_bytes(hashlib.sha256(str(broken).encode()).digest()[:8]) % total
        for step in range(total):
            row = np.asarray([(first + step) % total], dtype=np.int64)
            images, there = self._rows.read(row)
            if there.all() or not self._fill(images, row, there):
                return images[0]
        self._check_broken()
        raise AssertionError("unreachable: every image is broken")

    def _note_broken(self, row: int, reason: str) -> None:
        with self._lock:
            self._reasons[row] = reason
            self._rows.note_broken(row, reason)

    def _check_broken(self) -> None:
        if not self._reasons:
            return
        broken, total, where = self.broken, len(self._source), self._source.location
        first = "; ".join(f"{plain(key, 80)} ({plain(why, 80)})" for key, why in broken[:3])
        more = f" and {len(broken) - 3:,} more" if len(broken) > 3 else ""
        if len(broken) == total:
            raise DataError(
                f"Not one of {count(total, 'image')} in {where} decodes: {first}{more}."
            )
        if len(broken) > self._broken_share * total:
            raise DataError(
                f"{len(broken):,} of {count(total, 'image')} in {where} are broken, over the "
                f"limit of {self._broken_share:.2%}: {first}{more}. Remove or replace them."
            )
