"""The cache folder within its limit: what was used least recently goes, what is in use stays."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import UsageError
from mimic_ray.base.locks import while_unused
from mimic_ray.base.text import plain

_VARIABLE = "MIMIC_RAY_CACHE_GIB"
_DEFAULT_GIB = 256.0
# Everything below one of these folders can be made again.
_FOLDERS = ("pixels", "tars", "indexes", "digests")
# A file that is not finished after this was left by a process that was killed.
_UNFINISHED_S = 86_400.0


@dataclass(frozen=True)
class Entry:
    """One thing in the cache folder that goes or stays as a whole. `lock` is held by its users."""

    path: Path
    size: int
    used_s: float
    lock: Path


def limit_bytes() -> int:
    """What the cache folder may hold, from MIMIC_RAY_CACHE_GIB. Raises UsageError."""
    text = os.environ.get(_VARIABLE) or str(_DEFAULT_GIB)
    try:
        gib = float(text)
    except ValueError:
        gib = -1.0
    if not 0 <= gib < float("inf"):
        raise UsageError(f'{_VARIABLE} is "{plain(text, 40)}": give a number of GiB, such as 100.')
    return int(gib * (1 << 30))


def make_room(cache: Path, needed: int) -> None:
    """Removes what was used least recently until `needed` bytes fit the limit and the disk.

    If that cannot be had nothing more is removed than what was unused; whoever writes will see.
    """
    _remove_unfinished(cache)
    entries = sorted(entries_of(cache), key=lambda entry: entry.used_s)
    total = sum(entry.size for entry in entries)
    for entry in entries:
        if total + needed <= limit_bytes() and _free(cache) >= needed:
            return
        if _removed(entry):
            total -= entry.size


def entries_of(cache: Path) -> Iterator[Entry]:
    """What the cache folder holds, unfinished things left out."""
    for folder in _FOLDERS:
        for path in _inside(cache / folder):
            if path.name.startswith(".") or ".tmp-" in path.name:
                continue
            with suppress(OSError):  # another process may remove it at the same time
                held = [*path.iterdir()] if path.is_dir() else [path]
                # posix_fallocate gives a file its blocks, so what it seems to hold it does hold.
                size = sum(file.stat().st_size for file in held)
                used_s = max(file.stat().st_mtime for file in held)
                # Tars are used by many at a time, and stay while one of them is.
                lock = "tars" if folder == "tars" else path.name
                yield Entry(path, size, used_s, cache / "locks" / f"{lock}.use")


def _removed(entry: Entry) -> bool:
    with while_unused(entry.lock) as unused:
        if not unused:
            return False
        _remove(entry.path)
    return not entry.path.exists()


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            # Out of the way first: a folder that is half gone must not look like a whole one.
            gone = path.with_name(f".{path.name}.tmp-{os.getpid()}")
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        else:
            path.unlink()


def _remove_unfinished(cache: Path) -> None:
    for folder in _FOLDERS:
        for path in _inside(cache / folder):
            if path.name.startswith(".") or ".tmp-" in path.name:
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _UNFINISHED_S:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _free(cache: Path) -> int:
    there = next((p for p in (cache, *cache.parents) if p.exists()), Path("/"))
    return shutil.disk_usage(there).free
