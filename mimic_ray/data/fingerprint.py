"""What images these are, whatever they are called and wherever they lie.

    fingerprint = SHA-256 over the lines "key NUL sha256-of-the-encoded-bytes", in order

Hashing means reading, so the hashes of files are remembered in the cache folder and believed as
long as inode, size and both times of a file are what they were (git's index does the same).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import DiskFullError
from mimic_ray.data.names import cache_folder


def set_fingerprint(images: Iterable[tuple[str, str]]) -> str:
    """The hex digest of (key, sha256) pairs in order."""
    digest = hashlib.sha256()
    for key, sha256 in images:
        digest.update(f"{key}\0{sha256}\n".encode())
    return digest.hexdigest()


def file_identity(path: Path) -> str:
    """Changes when the content of `path` does, short of somebody forging times."""
    facts = path.stat()
    return f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}-{facts.st_ctime_ns}"


def path_id(path: Path, identity: str = "") -> str:
    """A name for what is remembered of `path`, fit for a file name."""
    return hashlib.sha256(f"{path.resolve()}\0{identity}".encode(errors="replace")).hexdigest()[:32]


def file_digests(root: Path, paths: Mapping[str, Path]) -> dict[str, str]:
    """key -> sha256 of each file, an empty text for one that cannot be read."""
    memory = cache_folder() / "digests" / f"{path_id(root)}.json"
    known: dict[str, list[str]] = {}
    with suppress(OSError, ValueError):
        known = json.loads(memory.read_text())
    found = {key: _digest(path, known.get(key)) for key, path in paths.items()}
    if found != known:
        remember(memory, json.dumps(found).encode())
    return {key: sha256 for key, (_, sha256) in found.items()}


def remember(path: Path, content: bytes) -> None:
    """Writes into the cache folder if that is possible; only speed depends on it."""
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
