"""Names that files and folders of images have: suffixes, keys, where things are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = frozenset(["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff"])
SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")

# Larger files are no photographs; read into memory they could be anything.
IMAGE_LIMIT_BYTES = 64 << 20


def suffix_of(name: str) -> str:
    """The last suffix, small and without its dot: "a/B.JPG" -> "jpg"."""
    return PurePosixPath(name).suffix[1:].lower()


def is_hidden(name: str) -> bool:
    """Also true of the `._x.jpg` files that macOS puts beside images in an archive."""
    return PurePosixPath(name).name.startswith(".")


def is_shard(path: Path) -> bool:
    return is_shard_name(path.name)


def is_shard_name(name: str) -> bool:
    return name.lower().endswith(SHARD_SUFFIXES) and not is_hidden(name)


def as_key(name: str) -> str:
    """`name` as a key: valid UTF-8, other bytes written out. A key never becomes a path again."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def cache_folder() -> Path:
    """Where what can be made again is kept; may be deleted at any time.

    The variable MIMIC_RAY_CACHE, else the folder that the platform has for such things.
    """
    if named := os.environ.get("MIMIC_RAY_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mimic-ray"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimic-ray"
