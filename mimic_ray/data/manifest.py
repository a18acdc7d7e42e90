"""manifest.parquet, the table of every image in a set of shards, and set.json beside it.

The index of a tar without a manifest, made on first use, is the same kind of table.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import plain
from mimic_ray.data.fingerprint import set_fingerprint
from mimic_ray.data.left_out import LeftOut, Omissions

MANIFEST = "manifest.parquet"
SET = "set.json"
CLASSES = "classes.json"
# On object storage, while a set is being built and has no manifest yet.
BUILDING = "building.json"
_LEFT_OUT = b"left_out"

_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("label", pa.int64()),
        pa.field("source_key", pa.string()),
        pa.field("source_sha256", pa.string()),
        pa.field("class_name", pa.string()),
    ]
)


class Entry(NamedTuple):
    """One image: `size` bytes at `offset` of the file `shard` in the manifest's folder.

    Unknown values (the width in a tar without a manifest, the label in an unlabelled set) are None.
    """

    key: str
    shard: str
    offset: int
    size: int
    sha256: str
    width: int | None = None
    height: int | None = None
    format: str | None = None
    label: int | None = None
    source_key: str | None = None
    source_sha256: str | None = None
    class_name: str | None = None  # where a label is a name and not a number


class Index(NamedTuple):
    """The images of a tar, and the members that are not read as images."""

    entries: list[Entry]
    left_out: Omissions


@dataclass(frozen=True)
class ShardFacts:
    """The facts of a shard when it was built."""

    name: str
    images: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SetFacts:
    """set.json: the totals of a set of shards. `side` is None if the images were not resized."""

    images: int
    total_bytes: int
    fingerprint: str
    side: int | None
    quality: int | None
    shards: list[ShardFacts]


def to_parquet(entries: Sequence[Entry], left_out: Omissions | None = None) -> bytes:
    table = pa.Table.from_pylist([entry._asdict() for entry in entries], schema=_SCHEMA)
    if left_out:
        rows = {reason: [found.count, found.first] for reason, found in left_out.items()}
        table = table.replace_schema_metadata({_LEFT_OUT: json.dumps(rows)})
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def read_manifest(path: Path) -> list[Entry]:
    """The entries in order. Raises DataError for a damaged table and for paths in it."""
    return _entries(path, str(path))


def read_index(path: Path) -> Index:
    """An index as `to_parquet` wrote it. Raises DataError if it is damaged."""
    entries = read_manifest(path)
    rows = json.loads((parquet.read_schema(path).metadata or {}).get(_LEFT_OUT, b"{}"))
    return Index(entries, Omissions({reason: LeftOut(*row) for reason, row in rows.items()}))


def parse_manifest(content: bytes, shown: str) -> list[Entry]:
    """The entries from the bytes of a table; `shown` is its name in messages."""
    return _entries(pa.BufferReader(content), shown)


def _entries(source: Any, shown: str) -> list[Entry]:
    try:
        table = parquet.read_table(source, schema=_SCHEMA, columns=list(Entry._fields))
    except (pa.ArrowException, OSError, TypeError, ValueError, KeyError) as error:
        reason = plain(str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise DataError(f"{shown} cannot be read: {reason}.") from error
    missing = any(table[field.name].null_count for field in _SCHEMA if not field.nullable)
    if missing or not all(map(_is_file_name, table["shard"].unique().to_pylist())):
        raise DataError(f"{shown} is damaged: it names files outside its folder.")
    # By column, because a dict per row takes three times as long.
    entries = list(map(Entry, *(column.to_pylist() for column in table.columns)))
    if any(entry.offset < 0 or entry.size < 0 for entry in entries):
        raise DataError(f"{shown} is damaged: it has a negative offset or size.")
    return entries


def _is_file_name(name: str) -> bool:
    return name not in ("", "..") and Path(name).name == name


def read_set(folder: Path) -> SetFacts | None:
    """set.json of a folder, None if there is none. Raises DataError if it is damaged."""
    path = folder / SET
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return parse_set(content, str(path))


def parse_set(content: bytes, shown: str) -> SetFacts:
    """The totals from the bytes of set.json; `shown` is its name in messages."""
    try:
        facts: dict[str, Any] = json.loads(content)
        shards = [ShardFacts(**shard) for shard in facts.pop("shards")]
        return SetFacts(**facts, shards=shards)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{shown} is damaged: rebuild the shards.") from error


def parse_classes(content: bytes) -> list[str] | None:
    """Class names in label order; items are names or objects with a "name". None if invalid."""
    try:
        items = json.loads(content)
        if not isinstance(items, list):
            return None
        return [str(item["name"] if isinstance(item, dict) else item) for item in items]
    except (ValueError, TypeError, KeyError):
        return None


def by_shard(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The entries of each shard, in order."""
    shards: dict[str, list[Entry]] = {}
    for entry in entries:
        shards.setdefault(entry.shard, []).append(entry)
    return shards


def fingerprint(entries: Sequence[Entry]) -> str:
    return set_fingerprint((entry.key, entry.sha256) for entry in entries)
