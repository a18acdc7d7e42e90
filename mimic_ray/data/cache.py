"""Every image decoded once and kept: squares of uint8, in memory, on disk, or not at all.

up to memory_limit_bytes    an array in memory
up to disk_limit_bytes      a memory-mapped file in the cache folder, for all processes here
above                       nothing is kept: images are decoded whenever they are asked for
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimic_ray.base import files
from mimic_ray.base.errors import BrokenImageError, DataError, DiskFullError
from mimic_ray.base.text import count, plain
from mimic_ray.data.decode import DECODER, Pixels8, decode
from mimic_ray.data.names import cache_folder as default_cache_folder
from mimic_ray.data.resize import centre_square
from mimic_ray.data.source import ImageSource
from mimic_ray.data.threads import in_order, usable_cpus

Progress = Callable[[int, int], None]
Rows = NDArray[np.int64]

# Below this the interpreter's lock costs more than a second thread brings.
_THREADS_FROM_SIDE = 64
_CHUNK = 256


class Pixels:
    """The images of a source that decoded, as squares of `side` pixels.

    `kept` are their indices in the source, `broken` the (key, reason) of the others, `fingerprint`
    that of the source.
    """

    def __init__(
        self, take: Callable[[Rows], Pixels8], outcome: Outcome, side: int, fingerprint: str
    ) -> None:
        self._take = take
        self.side = side
        self.kept = np.asarray(outcome.kept, dtype=np.int64)
        self.broken = outcome.broken
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        return len(self.kept)

    def gather(self, indices: Tensor) -> Tensor:
        """int64 [B], positions among the kept images -> uint8 [B, 3, side, side]."""
        return torch.from_numpy(self._take(self.kept[indices.numpy()]))


@dataclass(frozen=True)
class Outcome:
    """What decoding a whole source found."""

    kept: list[int]
    broken: list[tuple[str, str]]


def open_pixels(
    source: ImageSource,
    side: int,
    *,
    memory_limit_bytes: int = 4 << 30,
    disk_limit_bytes: int = 256 << 30,
    broken_share: float = 0.01,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """Decodes every image of `source`, or finds them decoded by an earlier process.

    `progress` is told (images done, images in all). Raises DataError if more than `broken_share`
    of the images are broken or none is left, DiskFullError.
    """
    tell = progress or (lambda done, total: None)
    size = len(source) * 3 * side * side
    if size <= memory_limit_bytes:
        array = np.empty((len(source), 3, side, side), np.uint8)
        outcome = _decode_into(array, source, side, tell)
        take = _taker(array)
    elif size <= disk_limit_bytes:
        take, outcome = _on_disk(source, side, cache_folder or default_cache_folder(), tell)
    else:
        outcome = _decode_into(None, source, side, tell)
        take = _streamer(source, side)
    _check(source, outcome, broken_share)
    return Pixels(take, outcome, side, source.fingerprint)


def _taker(array: Pixels8) -> Callable[[Rows], Pixels8]:
    # numpy.take copies a whole image at a time; indexing a torch uint8 tensor is six times slower.
    return lambda rows: np.take(array, rows, axis=0)


def _streamer(source: ImageSource, side: int) -> Callable[[Rows], Pixels8]:
    threads = usable_cpus() if side >= _THREADS_FROM_SIDE else 1

    def take(rows: Rows) -> Pixels8:
        images = np.empty((len(rows), 3, side, side), np.uint8)

        def work(positions: range) -> None:
            for position in positions:
                images[position] = _decoded(source, int(rows[position]), side)

        for _ in in_order(work, len(rows), max(1, len(rows) // (4 * threads)), threads):
            pass
        return images

    return take


def _decoded(source: ImageSource, index: int, side: int) -> Pixels8:
    """uint8 [3, side, side], a view."""
    return centre_square(decode(source.read(index)), side).transpose(2, 0, 1)


def _decode_into(array: Pixels8 | None, source: ImageSource, side: int, tell: Progress) -> Outcome:
    """Fills row i with image i where it decodes; without an array only looks whether it does."""

    def work(rows: range) -> list[tuple[int, str]]:
        broken = []
        for row in rows:
            try:
                pixels = _decoded(source, row, side)
            except BrokenImageError as error:
                broken.append((row, error.message))
                continue
            if array is not None:
                array[row] = pixels
        return broken

    total = len(source)
    reasons: dict[int, str] = {}
    threads = usable_cpus() if side >= _THREADS_FROM_SIDE else 1
    tell(0, total)
    for rows, broken in in_order(work, total, _CHUNK, threads):
        reasons.update(broken)
        tell(rows.stop, total)
    kept = [row for row in range(total) if row not in reasons]
    return Outcome(kept, [(source.keys[row], reason) for row, reason in reasons.items()])


def _on_disk(
    source: ImageSource, side: int, cache_folder: Path, tell: Progress
) -> tuple[Callable[[Rows], Pixels8], Outcome]:
    """The images in a file that other processes, now and later, map too."""
    content = f"{source.fingerprint} {side} {DECODER}"
    folder = cache_folder / "pixels" / hashlib.sha256(content.encode()).hexdigest()[:32]
    if not folder.is_dir():
        try:
            with files.new_folder(folder) as unfinished:
                array = _reserved(unfinished / "pixels.npy", len(source), side)
                outcome = _decode_into(array, source, side, tell)
                files.write_json(unfinished / "outcome.json", vars(outcome))
                del array
        except OSError as error:
            # Another process may have been faster: then its folder is there.
            if not folder.is_dir():
                raise DataError(
                    f"{folder.parent} cannot be written ({error.strerror or error}): set "
                    "MIMIC_RAY_CACHE to a folder that can."
                ) from error
    try:
        array = np.asarray(np.load(folder / "pixels.npy", mmap_mode="r"))
        kept = json.loads((folder / "outcome.json").read_text())
        outcome = Outcome(kept["kept"], [(key, reason) for key, reason in kept["broken"]])
        if array.shape != (len(source), 3, side, side):
            raise ValueError("other images")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is damaged: delete it, it will be made again.") from error
    return _taker(array), outcome


def _reserved(path: Path, images: int, side: int) -> Pixels8:
    """A memory-mapped array whose bytes are on the disk already.

    Writing into a map that is not reserved kills the process when the disk is full.
    """
    shape = (images, 3, side, side)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    needed = path.stat().st_size
    free = shutil.disk_usage(path.parent).free
    try:
        if free < needed:
            raise OSError(errno.ENOSPC, "too little is free")
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFullError(
            f"The decoded images need {needed >> 20:,} MiB in {path.parents[2]}, where "
            f"{free >> 20:,} MiB are free: set MIMIC_RAY_CACHE to a folder on another disk."
        ) from error
    return array


def _check(source: ImageSource, outcome: Outcome, broken_share: float) -> None:
    broken = outcome.broken
    first = "; ".join(f"{plain(key, 80)} ({plain(why, 80)})" for key, why in broken[:3])
    more = f" and {len(broken) - 3:,} more" if len(broken) > 3 else ""
    if not outcome.kept:
        raise DataError(
            f"Not one of {count(len(source), 'image')} in {source.location} decodes: {first}{more}."
        )
    if len(broken) > broken_share * len(source):
        raise DataError(
            f"{len(broken):,} of {count(len(source), 'image')} in {source.location} are broken, "
            f"over the limit of {broken_share:.2%}: {first}{more}. Remove or replace them."
        )
