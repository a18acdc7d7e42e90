"""Reads and writes checkpoints of Flax: msgpack with arrays as extension type 1.

The layout of flax/serialization.py: nested dictionaries, whose arrays are a msgpack of their own:
(shape, name of the dtype, bytes in the order of C). There is no code in it. named_arrays.py gives
the names. The library `msgpack` reads the bytes, with limits on what they may claim.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from io import BufferedReader
from typing import Any

import msgpack
import numpy as np
from torch import Tensor

from mimic_ray.base.errors import CheckpointError, DamagedCheckpointError
from mimic_ray.base.text import count, plain
from mimic_ray.weight_files.flax_vit import Array
from mimic_ray.weight_files.named_arrays import BFLOAT16, as_tensors, replaced

_ARRAY = 1  # the extension type
_DTYPE = re.compile(r"(float(16|32|64)|u?int(8|16|32|64)|bool)")
_ENTRY_LIMIT = 100_000
_TEXT_LIMIT = 10_000
_LIST_LIMIT = 10_000


def read_msgpack(file: BufferedReader, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights by name, and notes on what else there is. Raises a CheckpointError."""
    arrays, notes = _arrays(_tree(file, name), name)
    tensors, more = as_tensors(arrays, name)
    return tensors, notes | more


def write_msgpack(
    file: BufferedReader, name: str, new: Mapping[str, Tensor], resized: Collection[str]
) -> tuple[bytes, set[str]]:
    """The checkpoint with tensors replaced, by the names that `read_msgpack` gives, and those that
    it has. Other content stays.

    Raises DamagedCheckpointError if the file has changed since.
    """
    tree = _tree(file, name)
    changed, written = replaced(_arrays(tree, name)[0], name, new, resized)
    for key, table, last in _leaves(tree):
        if key in changed:
            table[last] = _packed(changed[key])
    content: bytes = msgpack.packb(tree, use_bin_type=True)
    return content, written


def _tree(file: BufferedReader, name: str) -> dict[str, Any]:
    file.seek(0)
    content = file.read()
    try:
        tree = msgpack.unpackb(
            content,
            max_array_len=_LIST_LIMIT,
            max_map_len=_ENTRY_LIMIT,
            max_str_len=_TEXT_LIMIT,
            max_bin_len=len(content),
            max_ext_len=len(content),
        )
    except MemoryError:
        raise
    except Exception as error:  # the library raises many types for unexpected bytes
        raise _damaged(name, plain(error, 80)) from error
    if not isinstance(tree, dict):
        raise _damaged(name, "it is not a dictionary")
    return tree


def _leaves(tree: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The name of each leaf, "params/conv/kernel", with its dictionary and its key there."""
    stack = [(str(key), tree, key) for key in reversed(tree)]
    while stack:
        name, table, last = stack.pop()
        value = table[last]
        if isinstance(value, dict):
            stack += [(f"{name}/{key}", value, key) for key in reversed(value)]
        else:
            yield name, table, last


def _arrays(tree: dict[str, Any], name: str) -> tuple[dict[str, Array], dict[str, str]]:
    arrays: dict[str, Array] = {}
    notes: dict[str, str] = {}
    for key, table, last in _leaves(tree):
        value = table[last]
        if isinstance(value, msgpack.ExtType) and value.code == _ARRAY:
            try:
                array = _unpacked(value.data)
            except CheckpointError:
                raise
            except Exception as error:
                raise _damaged(name, plain(error, 80)) from error
            if not isinstance(array, str):
                arrays[key] = array
                continue
            notes[plain(key)] = array
        elif len(notes) < _LIST_LIMIT:
            shown = isinstance(value, str | int | float | bool | None)
            notes[plain(key)] = plain(value, 80) if shown else type(value).__name__
    return arrays, notes


def _unpacked(data: bytes) -> Array | str:
    """The array, or what it is if torch has no such type."""
    shape, dtype, content = msgpack.unpackb(data, max_array_len=64, max_bin_len=len(data))
    if dtype == "bfloat16":
        kind = BFLOAT16
    elif isinstance(dtype, str) and _DTYPE.fullmatch(dtype):
        kind = np.dtype(dtype)
    else:
        return f"an array of {plain(dtype, 40)}"
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("an array without a shape")
    expected = math.prod(shape) * kind.itemsize
    if len(content) != expected:
        raise ValueError(f"an array of {count(expected, 'byte')} has {len(content):,}")
    return np.frombuffer(content, kind).reshape(shape)


def _packed(array: Array) -> msgpack.ExtType:
    dtype = "bfloat16" if array.dtype == BFLOAT16 else array.dtype.name
    data = msgpack.packb((array.shape, dtype, array.tobytes()), use_bin_type=True)
    return msgpack.ExtType(_ARRAY, data)


def _damaged(name: str, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name} is a damaged checkpoint of Flax ({reason}): download or copy it again."
    )
