"""Stores for decoded images by row: in memory, in a file on local disk, or none.

All processes of a machine, and later runs, share one file. The CRC-32 of a row is written after the
row and makes it valid. Each process checks it when it first reads the row, so neither a killed
writer nor a power failure can leave a wrong row.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import weakref
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mimic_ray.base import files
from mimic_ray.base.errors import DataError, DiskFullError
from mimic_ray.base.locks import exclusive_lock, release, shared_lock
from mimic_ray.data.cache_eviction import evict
from mimic_ray.data.decode import DECODER, Pixels8

RowNumbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_PIXELS, _CHECKSUMS, _BROKEN, _ABOUT = "pixels.npy", "crc32.bin", "broken.jsonl", "about.json"
# Increase when the layout of the folder changes.
_LAYOUT = "3"


class PixelStore(Protocol):
    """Decoded images by row, thread-safe."""

    def read(self, rows: RowNumbers) -> tuple[Pixels8, Flags]:
        """uint8 [B, 3, S, S] and bool [B], which rows are present; the others are undefined."""
        ...

    def write(self, row: int, pixels: Pixels8) -> None:
        """uint8 [3, S, S], contiguous."""
        ...

    def broken(self) -> dict[int, str]:
        """row -> reason of the broken images that any process has found."""
        ...

    def add_broken(self, row: int, reason: str) -> None:
        """Keeps the reason for other processes and later runs."""
        ...


class MemoryStore:
    """All images in an array of this process."""

    def __init__(self, images: int, side: int) -> None:
        self._pixels: Pixels8 = np.empty((images, 3, side, side), np.uint8)
        self._present: Flags = np.zeros(images, np.bool_)
        self._broken: dict[int, str] = {}

    def read(self, rows: RowNumbers) -> tuple[Pixels8, Flags]:
        return _take(self._pixels, rows, self._present[rows])

    def write(self, row: int, pixels: Pixels8) -> None:
        self._pixels[row] = pixels
        self._present[row] = True

    def broken(self) -> dict[int, str]:
        return self._broken

    def add_broken(self, row: int, reason: str) -> None:
        self._broken[row] = reason


class NoStore:
    """Keeps no image: each is decoded on every use."""

    def __init__(self, side: int) -> None:
        self._shape = (3, side, side)
        self._broken: dict[int, str] = {}

    def read(self, rows: RowNumbers) -> tuple[Pixels8, Flags]:
        return np.empty((len(rows), *self._shape), np.uint8), np.zeros(len(rows), np.bool_)

    def write(self, row: int, pixels: Pixels8) -> None:
        pass

    def broken(self) -> dict[int, str]:
        return self._broken

    def add_broken(self, row: int, reason: str) -> None:
        self._broken[row] = reason


class FileStore:
    """The first `rows` images in a memory-mapped file in the cache folder.

    Raises DiskFullError if the disk has no space for the file, DataError if the folder cannot be
    written or is damaged.
    """

    def __init__(self, fingerprint: str, images: int, rows: int, side: int, cache: Path) -> None:
        content = f"{fingerprint} {images} {rows} {side} {DECODER} {_LAYOUT}"
        name = hashlib.sha256(content.encode()).hexdigest()[:32]
        self._folder = cache / "pixels" / name
        self._rows = rows
        shape = (rows, 3, side, side)
        in_use = shared_lock(cache / "locks" / f"{name}.use")
        weakref.finalize(self, release, in_use)
        with exclusive_lock(cache / "locks" / f"{name}.making"):
            if not self._folder.is_dir():
                _make(self._folder, shape, cache, f"{images} images, {side} pixels square")
        try:
            # Opened for writing, numpy would extend a truncated file to its full size.
            found = np.load(self._folder / _PIXELS, mmap_mode="r")
            checksums = (self._folder / _CHECKSUMS).stat().st_size
            if (found.shape, found.dtype, checksums) != (shape, np.uint8, 4 * rows):
                raise ValueError("wrong shape")
            self._pixels: Pixels8 = np.asarray(np.load(self._folder / _PIXELS, mmap_mode="r+"))
            checksum_file = self._folder / _CHECKSUMS
            self._checksums = np.memmap(checksum_file, np.uint32, "r+", shape=(rows,))
            os.utime(self._folder / _ABOUT)  # eviction takes the least recently used
        except PermissionError as error:
            raise _not_writable(self._folder, error) from error
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{self._folder} is damaged: delete it, and it will be rebuilt."
            ) from error
        self._verified: Flags = np.zeros(rows, np.bool_)

    def read(self, rows: RowNumbers) -> tuple[Pixels8, Flags]:
        inside = rows < self._rows
        clipped = np.where(inside, rows, 0)
        present = inside & (self._checksums[clipped] != 0)
        for row in np.unique(rows[present & ~self._verified[clipped]]):
            if self._checksums[row] == _checksum(self._pixels[row]):
                self._verified[row] = True
            else:
                self._checksums[row] = 0
                present &= rows != row
        return _take(self._pixels, clipped, present)

    def write(self, row: int, pixels: Pixels8) -> None:
        if row < self._rows:
            self._pixels[row] = pixels
            self._checksums[row] = _checksum(pixels)
            self._verified[row] = True

    def broken(self) -> dict[int, str]:
        try:
            lines = (self._folder / _BROKEN).read_text().splitlines()
        except OSError:
            return {}
        found: dict[int, str] = {}
        for line in lines:
            try:
                row, reason = json.loads(line)
                found[int(row)] = str(reason)
            except (ValueError, TypeError):
                continue  # an incomplete line of a killed process; the image will be found again
        return found

    def add_broken(self, row: int, reason: str) -> None:
        # A single write in append mode, so that lines of several processes do not mix.
        line = "\n" + json.dumps([row, reason]) + "\n"
        with files.disk_errors(self._folder):
            descriptor = os.open(self._folder / _BROKEN, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)


def _take(pixels: Pixels8, rows: RowNumbers, present: Flags) -> tuple[Pixels8, Flags]:
    # numpy.take copies whole images; indexing a torch uint8 tensor is six times slower.
    if present.all():
        return np.take(pixels, rows, axis=0), present
    images = np.empty((len(rows), *pixels.shape[1:]), np.uint8)
    images[present] = np.take(pixels, rows[present], axis=0)
    return images, present


def _checksum(pixels: Pixels8) -> int:
    return zlib.crc32(pixels.data) or 1  # 0 means that the row is not present


def _make(folder: Path, shape: tuple[int, ...], cache: Path, what: str) -> None:
    needed = int(np.prod(shape)) + 4 * shape[0] + (1 << 20)
    evict(cache, needed)
    try:
        with files.new_folder(folder) as unfinished:
            _reserve(unfinished / _PIXELS, shape, folder.parent)
            np.zeros(shape[0], np.uint32).tofile(unfinished / _CHECKSUMS)
            about = {"what": what, "rows": shape[0], "made": time.strftime("%Y-%m-%d %H:%M:%S")}
            files.write_json(unfinished / _ABOUT, about)
    except OSError as error:
        raise _not_writable(folder.parent, error) from error


def _reserve(path: Path, shape: tuple[int, ...], folder: Path) -> None:
    """Creates an array file with allocated disk blocks.

    Writing to a sparse memory map on a full disk would kill the process.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    del array
    needed = path.stat().st_size
    free = shutil.disk_usage(path.parent).free
    try:
        if free < needed:
            raise OSError(errno.ENOSPC, "not enough free space")
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"The decoded images need {needed >> 20:,} MiB in {folder}, where {free >> 20:,} MiB "
            "are free. Set MIMIC_RAY_CACHE to a folder on another disk, or MIMIC_RAY_CACHE_GIB to "
            "a limit; images beyond it are decoded in every epoch."
        ) from error


def _not_writable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"{folder} cannot be written ({error.strerror or error}): set MIMIC_RAY_CACHE to a "
        "writable folder."
    )
