"""Reads safetensors files in this process, because they contain no code.

The library checks sizes, offsets and shapes. This module also refuses hundreds of thousands of
tensors and two tensors with the same name.
"""

from __future__ import annotations

import json
import os
import struct
from io import BufferedReader
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    TooLargeCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain

HEADER_LIMIT_BYTES = 25 << 20
TENSOR_LIMIT = 100_000
METADATA = "__metadata__"


def read_safetensors(file: BufferedReader, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors in the order of the file's header, and its metadata.

    Raises DamagedCheckpointError, UnsafeCheckpointError or TooLargeCheckpointError.
    """
    header = _header(file, name)
    try:
        # By descriptor, so it is the file that was identified and hashed.
        with safe_open(f"/dev/fd/{file.fileno()}", framework="pt") as opened:
            # Copies, because a mapped tensor raises SIGBUS if the file is truncated later.
            tensors = {key: opened.get_tensor(key).clone() for key in opened.keys()}  # noqa: SIM118
            metadata = dict(opened.metadata() or {})
    except SafetensorError as error:
        raise _damaged(name, plain(error)) from error
    except RuntimeError as error:  # the mapping exceeds the memory that may be committed
        raise TooLargeCheckpointError(
            f"{name} has {os.fstat(file.fileno()).st_size:,} bytes, more than this machine's "
            "memory: use a larger machine, or save only the encoder's weights."
        ) from error
    return {key: tensors[key] for key in header if key != METADATA}, metadata


def _header(file: BufferedReader, name: str) -> dict[str, Any]:
    """The header as JSON, before the library spends time and memory on it."""
    file.seek(0)
    length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
    if length > HEADER_LIMIT_BYTES:
        raise _damaged(name, f"its header claims {length:,} bytes")
    text = file.read(length)
    if (tensors := text.count(b'"data_offsets"')) > TENSOR_LIMIT:
        raise TooLargeCheckpointError(
            f"{name} has {tensors:,} tensors, over the limit of {TENSOR_LIMIT:,}: save only the "
            "encoder's weights."
        )
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except _RepeatedKeyError as error:
        raise UnsafeCheckpointError(
            f'{name} has two tensors called "{plain(error)}", and readers may take either: ask its '
            "author for a file written by safetensors."
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(name, f"its header is not JSON: {plain(error, 80)}") from error
    if not isinstance(header, dict):
        raise _damaged(name, "its header is not a table of tensors")
    file.seek(0)
    return header


class _RepeatedKeyError(ValueError):
    pass


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise _RepeatedKeyError(key)
        table[key] = value
    return table


def _damaged(name: str, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name} is a damaged safetensors file ({reason}): download or copy it again."
    )
