"""Where decoded images are kept, row by row: in memory, in a file on local disk, or nowhere.

The file is one for all processes of the machine, now and later. A row counts once its mark is
there, and the mark is the row's CRC-32, written after it: whoever reads a row for the first time
compares. So neither a writer that was killed nor a machine that lost power leaves a wrong row.
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
from mimic_ray.base.locks import alone, hold_in_use, release
from mimic_ray.data.cache_eviction import make_room
from mimic_ray.data.decode import DECODER, Pixels8

Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

_PIXELS, _MARKS, _BROKEN, _ABOUT = "pixels.npy", "marks.bin", "broken.jsonl", "about.json"
# Raised when the layout of the folder changes.
_LAYOUT = "2"


class Kept(Protocol):
    """Decoded images by their row; any thread may call."""

    def read(self, rows: Rows) -> tuple[Pixels8, Flags]:
        """uint8 [B, 3, S, S] and bool [B]: which of them are there; the others hold anything."""
        ...

    def keep(self, row: int, pixels: Pixels8) -> None:
        """uint8 [3, S, S], contiguous."""
        ...

    def broken(self) -> dict[int, str]:
        """row -> reason of the images that any process found broken."""
        ...

    def note_broken(self, row: int, reason: str) -> None: ...


class InMemory:
    """Every image in an array of this process."""

    def __init__(self, images: int, side: int) -> None:
        self._pixels: Pixels8 = np.empty((images, 3, side, side), np.uint8)
        self._there: Flags = np.zeros(images, np.bool_)
        self._broken: dict[int, str] = {}

    def read(self, rows: Rows) -> tuple[Pixels8, Flags]:
        return _taken(self._pixels, rows, self._there[rows])

    def keep(self, row: int, pixels: Pixels8) -> None:
        self._pixels[row] = pixels
        self._there[row] = True

    def broken(self) -> dict[int, str]:
        return self._broken

    def note_broken(self, row: int, reason: str) -> None:
        self._broken[row] = reason


class Nowhere:
    """Nothing is kept: images are decoded whenever they are asked for."""

    def __init__(self, side: int) -> None:
        self._shape = (3, side, side)
        self._broken: dict[int, str] = {}

    def read(self, rows: Rows) -> tuple[Pixels8, Flags]:
        return np.empty((len(rows), *self._shape), np.uint8), np.zeros(len(rows), np.bool_)

    def keep(self, row: int, pixels: Pixels8) -> None:
        pass

    def broken(self) -> dict[int, str]:
        return self._broken

    def note_broken(self, row: int, reason: str) -> None:
        self._broken[row] = reason


class InFile:
    """The first `rows` images in a memory-mapped file of the cache folder.

    Raises DiskFullError when the disk has no room for it, DataError for a folder that cannot be
    written or is damaged.
    """

    def __init__(self, fingerprint: str, images: int, rows: int, side: int, cache: Path) -> None:
        content = f"{fingerprint} {images} {rows} {side} {DECODER} {_LAYOUT}"
        name = hashlib.sha256(content.encode()).hexdigest()[:32]
        self._folder = cache / "pixels" / name
        self._rows = rows
        shape = (rows, 3, side, side)
        in_use = hold_in_use(cache / "locks" / f"{name}.use")
        weakref.finalize(self, release, in_use)
        with alone(cache / "locks" / f"{name}.making"):
            if not self._folder.is_dir():
                _make(self._folder, shape, cache, f"{images} images, {side} pixels square")
        try:
            # Opened for writing, numpy would make a file that was cut as long as it should be.
            found = np.load(self._folder / _PIXELS, mmap_mode="r")
            marked = (self._folder / _MARKS).stat().st_size
            if (found.shape, found.dtype, marked) != (shape, np.uint8, 4 * rows):
                raise ValueError("other images")
            self._pixels: Pixels8 = np.asarray(np.load(self._folder / _PIXELS, mmap_mode="r+"))
            self._marks = np.memmap(self._folder / _MARKS, np.uint32, "r+", shape=(rows,))
            os.utime(self._folder / _ABOUT)  # least recently used is judged by this
        except PermissionError as error:
            raise _not_writable(self._folder, error) from error
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"{self._folder} is damaged: delete it, it will be made again."
            ) from error
        self._compared: Flags = np.zeros(rows, np.bool_)

    def read(self, rows: Rows) -> tuple[Pixels8, Flags]:
        inside = rows < self._rows
        clipped = np.where(inside, rows, 0)
        there = inside & (self._marks[clipped] != 0)
        for row in np.unique(rows[there & ~self._compared[clipped]]):
            if self._marks[row] == _mark(self._pixels[row]):
                self._compared[row] = True
            else:
                self._marks[row] = 0
                there &= rows != row
        return _taken(self._pixels, clipped, there)

    def keep(self, row: int, pixels: Pixels8) -> None:
        if row < self._rows:
            self._pixels[row] = pixels
            self._marks[row] = _mark(pixels)
            self._compared[row] = True

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
                continue  # a line that a killed process began: the image will be met again
        return found

    def note_broken(self, row: int, reason: str) -> None:
        # One write in append mode: lines of several processes do not mix.
        line = "\n" + json.dumps([row, reason]) + "\n"
        with files.disk_errors(self._folder):
            descriptor = os.open(self._folder / _BROKEN, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)


def _taken(pixels: Pixels8, rows: Rows, there: Flags) -> tuple[Pixels8, Flags]:
    # numpy.take copies a whole image at a time; indexing a torch uint8 tensor is six times slower.
    if there.all():
        return np.take(pixels, rows, axis=0), there
    images = np.empty((len(rows), *pixels.shape[1:]), np.uint8)
    images[there] = np.take(pixels, rows[there], axis=0)
    return images, there


def _mark(pixels: Pixels8) -> int:
    return zlib.crc32(pixels.data) or 1  # 0 says that nothing is there


def _make(folder: Path, shape: tuple[int, ...], cache: Path, what: str) -> None:
    needed = int(np.prod(shape)) + 4 * shape[0] + (1 << 20)
    make_room(cache, needed)
    try:
        with files.new_folder(folder) as unfinished:
            _reserve(unfinished / _PIXELS, shape, folder.parent)
            np.zeros(shape[0], np.uint32).tofile(unfinished / _MARKS)
            about = {"what": what, "rows": shape[0], "made": time.strftime("%Y-%m-%d %H:%M:%S")}
            files.write_json(unfinished / _ABOUT, about)
    except OSError as error:
        raise _not_writable(folder.parent, error) from error


def _reserve(path: Path, shape: tuple[int, ...], folder: Path) -> None:
    """An array file whose bytes are on the disk already.

    Writing into a map that is not reserved kills the process when the disk is full.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    del array
    needed = path.stat().st_size
    free = shutil.disk_usage(path.parent).free
    try:
        if free < needed:
            raise OSError(errno.ENOSPC, "too little is free")
        with path.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"The decoded images need {needed >> 20:,} MiB in {folder}, where {free >> 20:,} MiB "
            "are free: set MIMIC_RAY_CACHE to a folder on another disk, or MIMIC_RAY_CACHE_GIB to "
            "what may be used; images beyond it are decoded each epoch."
        ) from error


def _not_writable(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"{folder} cannot be written ({error.strerror or error}): set MIMIC_RAY_CACHE to a folder "
        "that can."
    )
