"""Rules for file names: the suffixes of images and shards, and the keys of images."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

IMAGE_SUFFIXES = frozenset(["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff"])
SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")

# A larger file is unlikely to be a photograph, and is not read into memory.
IMAGE_LIMIT_BYTES = 64 << 20
OVER_LIMIT = f"over the limit of {IMAGE_LIMIT_BYTES >> 20} MiB per file"


def suffix_of(name: str) -> str:
    """The last suffix in lower case without its dot: "a/B.JPG" -> "jpg"."""
    return PurePosixPath(name).suffix[1:].lower()


def is_hidden(name: str) -> bool:
    """Whether a name is hidden, as are the `._x.jpg` files that macOS adds to archives."""
    return PurePosixPath(name).name.startswith(".")


def is_shard(name: str) -> bool:
    return name.lower().endswith(SHARD_SUFFIXES) and not is_hidden(name)


def as_key(name: str) -> str:
    """`name` as valid UTF-8 with other bytes escaped. A key is never used as a path."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
