"""Indexes the images of a tar without a manifest by reading it once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import DataError
from mimic_ray.base.locks import exclusive_lock
from mimic_ray.data import manifest
from mimic_ray.data.fingerprint import remember
from mimic_ray.data.manifest import Entry
from mimic_ray.data.names import IMAGE_SUFFIXES, as_key, is_hidden, suffix_of
from mimic_ray.data.tar_index import Member, members_of

# Increase when the content of an index changes.
INDEX_VERSION = "1"
_LABEL_LIMIT_BYTES = 64


def cached_index(identity: str, make: Callable[[], list[Entry]]) -> list[Entry]:
    """The index that `make` returns, cached under `identity`."""
    path = cache_dir() / "indexes" / f"{identity}.parquet"
    # Reading a whole tar is slow, so one process does it while the others wait.
    with exclusive_lock(cache_dir() / "locks" / f"{identity}.making"):
        if path.is_file():
            return manifest.read_manifest(path)
        entries = make()
        remember(path, manifest.to_parquet(entries))
    return entries


def index_tar(path: Path, name: str) -> list[Entry]:
    """The images of a plain tar, with the integer labels of `.cls` members; `name` is its shard.

    Raises DataError for anything but a complete tar.
    """
    try:
        with path.open("rb") as file:
            return index_file(file, path.stat().st_size, str(path), name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def index_file(file: BinaryIO, total: int, path: str, name: str) -> list[Entry]:
    """The same for an open file of `total` bytes, which is read once from start to end."""
    labels: dict[str, int] = {}
    entries: list[Entry] = []
    for member in members_of(file, total, path):
        if is_hidden(member.name):
            continue
        key = as_key(member.name).rpartition(".")[0]
        if suffix_of(member.name) == "cls" and member.size <= _LABEL_LIMIT_BYTES:
            file.seek(member.offset)
            text = file.read(member.size).strip()
            if text.isdigit():
                labels[key] = int(text)
        elif suffix_of(member.name) in IMAGE_SUFFIXES:
            sha256 = _sha256(file, member)
            entries.append(Entry(key, name, member.offset, member.size, sha256))
    return [entry._replace(label=labels.get(entry.key)) for entry in entries]


def _sha256(file: BinaryIO, member: Member) -> str:
    digest = hashlib.sha256()
    file.seek(member.offset)
    for start in range(0, member.size, 1 << 20):
        digest.update(file.read(min(1 << 20, member.size - start)))
    return digest.hexdigest()
