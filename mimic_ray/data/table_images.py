"""Images in the tables of Hugging Face: parquet files, and Arrow files of `save_to_disk`.

Image column: the one that the library declares as Image; else the only one with bytes, plain or as
`{bytes, path}`; of several, the first of `IMAGE_COLUMNS`. Label: the first of `LABEL_COLUMNS` with
integers or texts; names come from the library's ClassLabel. A path in a table is never opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import plain
from mimic_ray.data.gzip_tar import limit_bytes

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "photo", "picture")
LABEL_COLUMNS = ("label", "labels", "cls", "class", "target", "fine_label", "class_name")
# Rows that are decoded together, of at most 64 MiB each where they are images.
_ROWS = 16


class TableRow(NamedTuple):
    """An encoded image, None if the table holds only its path, and its label."""

    image: bytes | None
    label: int | str | None


@dataclass(frozen=True)
class Columns:
    """The columns that are read, and those that are images too and are not."""

    image: str
    label: str
    classes: list[str] | None
    other_images: list[str]


def columns_of(path: Path) -> Columns:
    """Raises DataError for a file without one clear column of images."""
    with _opened(path) as (schema, _):
        return _columns(path, schema)


def rows_of(path: Path) -> Iterator[TableRow]:
    """The rows in order. Raises DataError for a damaged file, and for one that is far too large."""
    with _opened(path) as (schema, batches):
        chosen = _columns(path, schema)
        names = [chosen.image, *([chosen.label] if chosen.label else [])]
        left = most = limit_bytes(path.stat().st_size)
        for batch in batches(names):
            # Lengths in the file are not to be trusted.
            batch.validate(full=True)
            images = batch[chosen.image]
            if pa.types.is_struct(images.type):
                images = images.field("bytes")
            labels = batch[chosen.label] if chosen.label else [None] * len(images)
            for image, label in zip(images, labels, strict=True):
                content = image.as_py()
                left -= len(content or b"")
                if left < 0:
                    raise DataError(
                        f"{path} unpacks to more than {most >> 20:,} MiB, far more than images do."
                    )
                yield TableRow(content, None if label is None else label.as_py())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[pa.Schema, Any]]:
    """The schema, and a function from names of columns to batches of rows."""
    try:
        if path.name.lower().endswith(".parquet"):
            with parquet.ParquetFile(path) as file:
                _check_claims(path, file.metadata)
                yield (
                    file.schema_arrow,
                    lambda names: file.iter_batches(_ROWS, columns=names, use_threads=False),
                )
            return
        with pa.memory_map(str(path)) as memory:
            try:
                reader = pa.ipc.open_stream(memory)
                batches = iter(reader)
            except pa.ArrowInvalid:
                reader = pa.ipc.open_file(memory)
                batches = map(reader.get_batch, range(reader.num_record_batches))
            yield (
                reader.schema,
                lambda names: (
                    batch.select(names).slice(start, _ROWS)
                    for batch in batches
                    for start in range(0, batch.num_rows, _ROWS)
                ),
            )
    except (pa.ArrowException, OSError, MemoryError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read as a table of images: {plain(str(error).splitlines()[0:1])}."
        ) from error


def _check_claims(path: Path, metadata: Any) -> None:
    """A small parquet file may claim columns of any size, which the reader would reserve."""
    # Not by column: pyarrow 26 ends the process at statistics of a column that are damaged.
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    claimed = sum(max(0, group.total_byte_size) for group in groups)
    most = limit_bytes(path.stat().st_size)
    if claimed > most:
        raise DataError(
            f"{path} unpacks to {claimed >> 20:,} MiB, over the limit of {most >> 20:,} MiB, far "
            "more than images do."
        )


def _columns(path: Path, schema: pa.Schema) -> Columns:
    features: dict[str, Any] = {}
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        features = dict(json.loads(schema.metadata[b"huggingface"])["info"]["features"])
    found = [field.name for field in schema if _has_bytes(field.type)]
    declared = [name for name in found if _kind(features.get(name)) == "Image"]
    images = declared or found
    named = [name for name in IMAGE_COLUMNS if name in images]
    if not images or (len(images) > 1 and not named):
        what = "several columns of images" if images else "no column of images"
        raise DataError(
            f"{path} has {what}: {', '.join(plain(n) for n in schema.names[:12])}. Convert it: "
            'give a table with the column "image", or write the images as files into a folder.'
        )
    image = images[0] if len(images) == 1 else named[0]
    label = next((name for name in LABEL_COLUMNS if _is_label(schema, name)), "")
    classes = None
    with suppress(KeyError, TypeError):
        classes = [str(name) for name in features[label]["names"]]
    return Columns(image, label, classes, [name for name in images if name != image])


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        # A column of nothing but paths has null bytes.
        return index >= 0 and (_has_bytes(inner := kind.field(index).type) or inner == pa.null())
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_label(schema: pa.Schema, name: str) -> bool:
    index = schema.get_field_index(name)
    if index < 0:
        return False
    kind = schema.field(index).type
    return bool(
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    )


def _kind(feature: Any) -> Any:
    return feature.get("_type") if isinstance(feature, dict) else None
