"""Tables of images as shards: their images are copied once into the cache folder.

A row of a table cannot be read alone: its column is compressed in groups of hundreds of rows.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mimic_ray.base.errors import DataError
from mimic_ray.data.fingerprint import file_identity, path_id
from mimic_ray.data.gzip_tar import unpacked
from mimic_ray.data.left_out import Omissions
from mimic_ray.data.local_shards import LocalShards
from mimic_ray.data.manifest import CLASSES, Entry, Index
from mimic_ray.data.names import as_key
from mimic_ray.data.samples import label_of
from mimic_ray.data.shard_index import cached_index
from mimic_ray.data.table_images import columns_of, rows_of

_VERSION = "table 1"


class TableShards(LocalShards):
    """A ShardFolder of .parquet and .arrow files. Keys are row numbers."""

    def __init__(self, folder: Path, first: str) -> None:
        super().__init__(folder)
        self._columns = columns_of(folder / first)

    @property
    def notes(self) -> list[str]:
        label = self._columns.label
        labels = f'labels from "{label}"' if label else "no labels"
        return [
            f'The images of column "{self._columns.image}" ({labels}) in '
            f"{self.shown().rstrip('/')} are extracted once into the cache folder."
        ]

    def read_file(self, name: str) -> bytes | None:
        known = self._columns.classes
        return json.dumps(known).encode() if name == CLASSES and known else None

    def index(self, name: str) -> Index:
        path, shard = self._folder / name, as_key(name)
        identity = path_id(path, f"{file_identity(path)} {_VERSION}")
        return cached_index(identity, lambda: _index(path, shard))

    def _plain(self, path: Path) -> Path:
        self._keep_unpacked(path)
        return unpacked(path, _write_images)


def _write_images(path: Path, target: Path) -> None:
    """The images of a table, one after the other, without anything between."""
    with target.open("wb") as file:
        for row in rows_of(path):
            file.write(row.image or b"")


def _index(path: Path, shard: str) -> Index:
    """The location of each image in the file that `_write_images` makes."""
    left_out = Omissions()
    for other in columns_of(path).other_images:
        left_out.add("another column of images", f"{shard}: {other}")
    entries: list[Entry] = []
    offset = 0
    for number, row in enumerate(rows_of(path)):
        if not row.image:
            left_out.add("a row without the bytes of its image", f"{shard}: row {number}")
            continue
        label = label_of(row.label)
        entries.append(
            Entry(
                key=f"{number:06}",
                shard=shard,
                offset=offset,
                size=len(row.image),
                sha256=hashlib.sha256(row.image).hexdigest(),
                label=label if isinstance(label, int) else None,
                class_name=label if isinstance(label, str) else None,
            )
        )
        offset += len(row.image)
    if not entries:
        raise DataError(
            f"{path} contains no images, only their paths. Save the set with its images: "
            "datasets.Dataset.to_parquet writes them."
        )
    return Index(entries, left_out)
