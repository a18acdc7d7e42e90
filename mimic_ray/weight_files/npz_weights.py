"""Reads and writes .npz archives of weights: named numpy arrays in a zip.

They contain no code: pickled (object) arrays are not read. named_arrays.py gives the names.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Collection, Mapping
from io import BufferedReader
from typing import Any

import numpy as np
from torch import Tensor

from mimic_ray.base.errors import DamagedCheckpointError, UnsafeCheckpointError
from mimic_ray.base.text import count, plain
from mimic_ray.weight_files.flax_vit import Array
from mimic_ray.weight_files.named_arrays import BFLOAT16, as_tensors, replaced

MEMBER_LIMIT = 100_000
# Weights hardly compress, but a head of zeros does.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of savez and savez_compressed
_COMPRESSION_LIMIT = 20
_SLACK_BYTES = 64 << 20
_HEADER_LIMIT = 10_000


def read_npz(file: BufferedReader, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights by name, and notes on what else there is. Raises a CheckpointError."""
    arrays, notes = _arrays(file, name)
    tensors, more = as_tensors(arrays, name)
    return tensors, notes | more


def write_npz(
    file: BufferedReader, name: str, new: Mapping[str, Tensor], resized: Collection[str]
) -> tuple[bytes, set[str]]:
    """The archive with tensors replaced, by the names that `read_npz` gives, and those that it has.

    Other content stays. Raises DamagedCheckpointError if the file has changed since.
    """
    changed, written = replaced(_arrays(file, name)[0], name, new, resized)
    return _like(file, changed), written


def _like(file: BufferedReader, arrays: Mapping[str, Array]) -> bytes:
    """The archive with these arrays in it; all other records are copied."""
    content = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(content, "w") as new:
        for member in old.infolist():
            key = member.filename.removesuffix(".npy")
            if key not in arrays:
                new.writestr(member, old.read(member))
                continue
            entry = zipfile.ZipInfo(member.filename, member.date_time)
            entry.compress_type = member.compress_type
            with new.open(entry, "w", force_zip64=True) as record:
                np.lib.format.write_array(record, arrays[key], allow_pickle=False)
    return content.getvalue()


def _arrays(file: BufferedReader, name: str) -> tuple[dict[str, Array], dict[str, str]]:
    """All numeric arrays; notes name the others."""
    arrays: dict[str, Array] = {}
    notes: dict[str, str] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members, name, os.fstat(file.fileno()).st_size)
            for member in members:
                with archive.open(member) as entry:
                    key = member.filename.removesuffix(".npy")
                    array = _array_of(entry, member)
                    if isinstance(array, str):
                        notes[plain(key)] = array
                    else:
                        arrays[key] = array
    except (UnsafeCheckpointError, MemoryError):
        raise
    except Exception as error:  # zipfile and numpy raise many types for unexpected bytes
        raise _damaged(name, plain(error, 80)) from error
    return arrays, notes


def _array_of(entry: Any, member: zipfile.ZipInfo) -> Array | str:
    """The array, or what it is if it is not numeric. Nothing is allocated that is not there."""
    if not member.filename.endswith(".npy"):
        return f"a file of {count(member.file_size, 'byte')}"
    version = np.lib.format.read_magic(entry)
    reader = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, is_fortran, dtype = reader(entry, max_header_size=_HEADER_LIMIT)
    if dtype != BFLOAT16 and dtype.kind not in "biuf":
        return "pickled objects, not read" if dtype.hasobject else f"an array of {dtype}"
    expected = math.prod(shape) * dtype.itemsize
    content = entry.read()
    if len(content) != expected or any(length < 0 for length in shape):
        raise ValueError(f"{member.filename} claims {expected:,} bytes and has {len(content):,}")
    flat = np.frombuffer(content, dtype)
    array = flat.reshape(shape, order="F" if is_fortran else "C")
    return array if dtype == BFLOAT16 else array.astype(dtype.newbyteorder("="), copy=False)


def _check_members(members: list[zipfile.ZipInfo], name: str, size: int) -> None:
    names = [member.filename for member in members]
    claimed = sum(member.file_size for member in members)
    reason = ""
    if len(members) > MEMBER_LIMIT:
        reason = f"it has {len(members):,} arrays, over {MEMBER_LIMIT:,}"
    elif len(set(names)) < len(names):
        reason = "two of its arrays have the same name"
    elif any(member.compress_type not in _COMPRESSIONS for member in members):
        # Of bzip2 and LZMA, zipfile unpacks a chunk whole, however large that is.
        reason = "it is compressed by another method"
    elif claimed > _COMPRESSION_LIMIT * size + _SLACK_BYTES:
        reason = f"it has {size:,} bytes and unpacks to {claimed:,}"
    if reason:
        raise UnsafeCheckpointError(
            f"{name} was not written by numpy, or was changed: {reason}. Ask its author for the "
            "weights as safetensors."
        )


def _damaged(name: str, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name} is a damaged numpy archive ({reason}): download or copy it again."
    )
