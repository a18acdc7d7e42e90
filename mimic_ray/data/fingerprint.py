"""The identity of a set of images, independent of where it is stored.

    fingerprint = SHA-256 over the lines "key NUL sha256-of-the-encoded-bytes", in order

Hashing reads every file, so hashes are cached. They are valid while the inode, size, mtime and
ctime of a file are unchanged, as in git's index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import DiskFullError


def set_fingerprint(images: Iterable[tuple[str, str]]) -> str:
    """The hex digest of (key, sha256) pairs in order."""
    digest = hashlib.sha256()
    for key, sha256 in images:
        digest.update(f"{key}\0{sha256}\n".encode())
    return digest.hexdigest()


def file_identity(path: Path) -> str:
    """A text that changes with the content of `path`, unless its timestamps are forged."""
    facts = path.stat()
    return f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}"


def path_id(path: Path, identity: str = "") -> str:
    """The file name of cached data about `path`."""
    return hashlib.sha256(f"{path.resolve()}\0{identity}".encode(errors="replace")).hexdigest()[:32]


def file_digests(root: Path, paths: Mapping[str, Path]) -> dict[str, str]:
    """key -> sha256 of each file, "" for a file that cannot be read."""
    memory = cache_dir() / "digests" / f"{path_id(root)}.json"
    known: dict[str, list[str]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(memory.read_text())
    found = {key: _digest(path, known.get(key)) for key, path in paths.items()}
    if found != known:
        remember(memory, json.dumps(found).encode())
    return {key: sha256 for key, (_, sha256) in found.items()}


def cached_digests(identity: str, make: Callable[[], list[str]]) -> list[str]:
    """The digests that `make` returns, cached under `identity`."""
    memory = cache_dir() / "digests" / f"{identity}.json"
    with suppress(OSError, ValueError):
        return [str(digest) for digest in json.loads(memory.read_text())]
    digests = make()
    remember(memory, json.dumps(digests).encode())
    return digests


def remember(path: Path, content: bytes) -> None:
    """Writes a file to the cache folder if possible. Failures only cost time."""
    with suppress(OSError, DiskFullError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, content)


def _digest(path: Path, known: list[str] | None) -> list[str]:
    try:
        identity = file_identity(path)
        if known and known[0] == identity:
            return known
        return [identity, files.sha256(path)]
    except OSError:
        return ["", ""]
