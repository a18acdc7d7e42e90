"""The layout of torch.save before torch 1.6: pickles, and the storages behind them.

Five pickles: magic number, protocol, system, content, keys of the storages; then the storages, each
after the number of its elements.
"""

from __future__ import annotations

import struct
from typing import Any, Protocol

from mimic_ray.weight_files.inert import ITEM_BYTES, StorageRef
from mimic_ray.weight_files.pickle_machine import Objects, PickleError, run_pickle

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

Spans = dict[str, tuple[int, int]]


class StorageObjects(Objects, Protocol):
    """What pickles with storages name."""

    storages: dict[str, StorageRef]


def read_legacy(stream: Any, objects: StorageObjects) -> tuple[Any, Spans]:
    """The content, and the first byte and number of bytes of each storage in the stream.

    `stream` is a mapping of a file or a BytesIO. Raises PickleError, and many other types for
    untrusted bytes.
    """
    if run_pickle(stream, objects) != _MAGIC:
        raise PickleError("another magic number")
    if run_pickle(stream, objects) != _PROTOCOL:
        raise PickleError("an unknown protocol")
    require_little_endian(run_pickle(stream, objects))
    content, keys = run_pickle(stream, objects), run_pickle(stream, objects)
    spans = {
        objects.storages[str(key)].key: next_storage(stream, objects.storages[str(key)].dtype)
        for key in keys
    }
    return content, spans


def require_little_endian(system: Any) -> None:
    """Raises PickleError unless a file's description of its system says so."""
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleError("it was written by a machine of the other byte order")


def next_storage(stream: Any, dtype: str) -> tuple[int, int]:
    """The first byte and the number of bytes of the storage at the stream's position, which is
    left behind it."""
    (numbers,) = struct.unpack("<q", stream.read(8))
    length = numbers * ITEM_BYTES[dtype]
    start = stream.tell()
    end = stream.seek(0, 2) or stream.tell()  # a mapping returns None
    if not 0 <= length <= end - start:
        raise PickleError("it ends early")
    stream.seek(start + length)
    return start, length
