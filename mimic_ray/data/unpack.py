"""A gzip-compressed tar as a plain one, once, so that images can be read by offset."""

from __future__ import annotations

import gzip
import os
import zlib
from contextlib import suppress
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import DataError
from mimic_ray.base.locks import hold_in_use
from mimic_ray.base.text import plain
from mimic_ray.data.cache_eviction import make_room
from mimic_ray.data.fingerprint import file_identity, path_id
from mimic_ray.data.names import cache_folder

GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20


def limit_bytes(packed: int) -> int:
    """What a gzip file may grow to: 100 times its size and 64 MiB, at most 32 GiB.

    Tars of small JPEGs shrink to an eighth; a bomb of zeros to a thousandth.
    """
    return min(100 * packed + (64 << 20), 32 << 30)


def is_gzip(path: Path) -> bool:
    """By its first bytes: names promise nothing. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(2) == GZIP_MAGIC
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def unpacked(path: Path) -> Path:
    """The plain tar of a gzip file, in the cache folder, made there on first use.

    Raises DataError for a damaged file or one that grows over `limit_bytes`, DiskFullError.
    Whoever goes on using it holds `tars_in_use()`, before this is called.
    """
    plain_tar = cache_folder() / "tars" / f"{path_id(path, file_identity(path))}.tar"
    if plain_tar.is_file():
        with suppress(OSError):
            os.utime(plain_tar)  # least recently used is judged by this
        return plain_tar
    make_room(cache_folder(), path.stat().st_size)  # at least: JPEGs hardly shrink
    with files.disk_errors(plain_tar):
        try:
            plain_tar.parent.mkdir(parents=True, exist_ok=True)
            temporary = plain_tar.with_suffix(f".tmp-{os.getpid()}")
            try:
                _unpack(path, temporary)
                temporary.replace(plain_tar)
            finally:
                temporary.unlink(missing_ok=True)
        except PermissionError as error:
            raise DataError(
                f"{path} is compressed and {plain_tar.parent}, where it would be unpacked, cannot "
                "be written: set MIMIC_RAY_CACHE to a folder that can."
            ) from error
    return plain_tar


def tars_in_use() -> int:
    """Keeps the unpacked tars in the cache folder until the descriptor is closed."""
    return hold_in_use(cache_folder() / "locks" / "tars.use")


def _unpack(path: Path, target: Path) -> None:
    left = limit = limit_bytes(path.stat().st_size)
    try:
        with gzip.open(path) as packed, target.open("wb") as file:
            while content := packed.read(_CHUNK):
                left -= len(content)
                if left < 0:
                    raise DataError(
                        f"{path} grows over {limit >> 20:,} MiB when unpacked, which no images do: "
                        "refused. If you trust it, unpack it yourself with gzip -d."
                    )
                file.write(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: {plain(error)}. Copy it again.") from error
