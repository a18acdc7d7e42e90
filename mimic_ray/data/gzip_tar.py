"""Unpacks a gzip-compressed tar once, so that its images can be read by offset."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import DataError
from mimic_ray.base.locks import shared_lock
from mimic_ray.base.text import plain
from mimic_ray.data.cache_eviction import evict
from mimic_ray.data.fingerprint import file_identity, path_id

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def limit_bytes(packed: int) -> int:
    """The maximum unpacked size of a gzip file: 100 times its size plus 64 MiB, at most 32 GiB.

    Tars of small JPEGs compress to an eighth, a decompression bomb to a thousandth.
    """
    return min(100 * packed + (64 << 20), 32 << 30)


def is_gzip(path: Path) -> bool:
    """Whether the first bytes are those of gzip. Raises DataError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2) == GZIP_MAGIC
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def unpacked(path: Path, unpack: Callable[[Path, Path], None] | None = None) -> Path:
    """The plain tar of a gzip file, unpacked to the cache folder on first use.

    `unpack` writes the unpacked form of another kind of file to its second argument.

    Call `tars_in_use()` first, and keep the descriptor open while the tar is used. Raises DataError
    for a file that is damaged or exceeds `limit_bytes`; DiskFullError.
    """
    plain_tar = cache_dir() / "tars" / f"{path_id(path, file_identity(path))}.tar"
    if plain_tar.is_file():
        with suppress(OSError):
            os.utime(plain_tar)  # eviction takes the least recently used
        return plain_tar
    evict(cache_dir(), path.stat().st_size)  # a lower bound, but JPEGs hardly compress
    with files.disk_errors(plain_tar):
        try:
            plain_tar.parent.mkdir(parents=True, exist_ok=True)
            temporary = plain_tar.with_suffix(f".tmp-{os.getpid()}")
            try:
                (unpack or _unpack)(path, temporary)
                temporary.replace(plain_tar)
            finally:
                temporary.unlink(missing_ok=True)
        except PermissionError as error:
            raise DataError(
                f"{path} is compressed, and {plain_tar.parent}, where it is unpacked, cannot be "
                "written. Set MIMIC_RAY_CACHE to a writable folder."
            ) from error
    return plain_tar


def tars_in_use() -> int:
    """Keeps the unpacked tars in the cache folder until the returned descriptor is closed."""
    return shared_lock(cache_dir() / "locks" / "tars.use")


def _unpack(path: Path, target: Path) -> None:
    left = limit = limit_bytes(path.stat().st_size)
    try:
        with gzip.open(path) as packed, target.open("wb") as file:
            while content := packed.read(_CHUNK):
                left -= len(content)
                if left < 0:
                    raise DataError(
                        f"{path} unpacks to more than {limit >> 20:,} MiB, far more than images "
                        "do. If you trust it, unpack it yourself with gzip -d."
                    )
                file.write(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: {plain(error)}. Copy it again.") from error
