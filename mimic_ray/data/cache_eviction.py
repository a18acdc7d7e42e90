"""Keeps the cache folder within its limit by evicting unused items, least recently used first."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import UsageError
from mimic_ray.base.locks import try_exclusive_lock
from mimic_ray.base.text import plain

_VARIABLE = "MIMIC_RAY_CACHE_GIB"
_DEFAULT_GIB = 256.0
# Everything in these folders can be computed again.
_FOLDERS = ("pixels", "tars", "indexes", "digests")
# An unfinished file older than this was left by a killed process.
_UNFINISHED_S = 86_400.0


@dataclass(frozen=True)
class CachedItem:
    """A file or folder that is evicted as a whole. Its users hold `lock`."""

    path: Path
    size: int
    used_s: float
    lock: Path


def limit_bytes() -> int:
    """The limit of the cache folder, from MIMIC_RAY_CACHE_GIB. Raises UsageError."""
    text = os.environ.get(_VARIABLE) or str(_DEFAULT_GIB)
    try:
        gib = float(text)
    except ValueError:
        gib = -1.0
    if not 0 <= gib < float("inf"):
        raise UsageError(f'{_VARIABLE} is "{plain(text, 40)}": give a number of GiB, such as 100.')
    return int(gib * (1 << 30))


def evict(cache: Path, needed: int, keep: Collection[Path] = ()) -> None:
    """Evicts unused items but `keep`, least recently used first, until `needed` bytes fit the limit
    and the disk. Does not fail if they do not fit; the caller's write will."""
    _remove_unfinished(cache)
    items = sorted(items_of(cache), key=lambda item: item.used_s)
    total = sum(item.size for item in items)
    for item in items:
        if total + needed <= limit_bytes() and _free(cache) >= needed:
            return
        if item.path not in keep and _removed(item):
            total -= item.size


def items_of(cache: Path) -> Iterator[CachedItem]:
    """The finished items in the cache folder."""
    for folder in _FOLDERS:
        for path in _inside(cache / folder):
            if path.name.startswith(".") or ".tmp-" in path.name:
                continue
            with suppress(OSError):  # another process may have just removed it
                parts = [*path.iterdir()] if path.is_dir() else [path]
                # Sizes are disk usage, because posix_fallocate has allocated the blocks.
                size = sum(file.stat().st_size for file in parts)
                used_s = max(file.stat().st_mtime for file in parts)
                # All tars share one lock, because a set uses many of them.
                lock = "tars" if folder == "tars" else path.name
                yield CachedItem(path, size, used_s, cache / "locks" / f"{lock}.use")


def _removed(item: CachedItem) -> bool:
    with try_exclusive_lock(item.lock) as unused:
        if not unused:
            return False
        _remove(item.path)
    return not item.path.exists()


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            # Renamed first, because a partly removed folder must not look like a complete one.
            doomed = path.with_name(f".{path.name}.tmp-{os.getpid()}")
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
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
    folder = next((p for p in (cache, *cache.parents) if p.exists()), Path("/"))
    return shutil.disk_usage(folder).free
