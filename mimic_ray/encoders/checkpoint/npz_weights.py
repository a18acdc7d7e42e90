"""Reads and writes .npz archives of weights: named numpy arrays in a zip.

They contain no code: pickled (object) arrays are not read. The keys of a vision transformer of Flax
become those of timm's network (flax_vit.py); any other archive keeps its own names.
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
import torch
from torch import Tensor

from mimic_ray.base.errors import DamagedCheckpointError, UnsafeCheckpointError
from mimic_ray.base.text import count, plain
from mimic_ray.encoders.checkpoint import flax_vit
from mimic_ray.encoders.checkpoint.flax_vit import Array, Piece
from mimic_ray.encoders.checkpoint.tensors import replacement

MEMBER_LIMIT = 100_000
# Weights hardly compress, but a head of zeros does.
_COMPRESSION_LIMIT = 20
_SLACK_BYTES = 64 << 20
_HEADER_LIMIT = 10_000
# How numpy shows bfloat16, which it has no type for.
_BFLOAT16 = np.dtype("V2")


def read_npz(file: BufferedReader, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights by name, and notes on what else there is. Raises a CheckpointError."""
    arrays, notes = _arrays(file, name)
    found = flax_vit.pieces(arrays)
    tensors: dict[str, Tensor] = {}
    try:
        for key, piece in found.items():
            tensors[key] = _tensor(flax_vit.gathered(arrays, piece))
    except (ValueError, IndexError) as error:
        raise _damaged(name, f"shapes that no network has ({plain(error, 80)})") from error
    if found:
        notes["layout"] = "a vision transformer of Flax (JAX), with timm's names"
        if number := flax_vit.heads(arrays, found):
            notes["num_heads"] = str(number)
    used = {source for piece in found.values() for source in piece.sources}
    tensors |= {key: _tensor(array) for key, array in arrays.items() if key not in used}
    return tensors, notes


def write_npz(
    file: BufferedReader, name: str, new: Mapping[str, Tensor], resized: Collection[str]
) -> tuple[bytes, set[str]]:
    """The archive with tensors replaced, by the names that `read_npz` gives, and those that it has.

    Other content stays. Raises DamagedCheckpointError if the file has changed since.
    """
    arrays, _ = _arrays(file, name)
    found = flax_vit.pieces(arrays)
    written = set()
    for key, tensor in new.items():
        if key in found:
            old = _tensor(flax_vit.gathered(arrays, found[key]))
            value = replacement(old, tensor, plain(key), name, key in resized)
            flax_vit.scattered(arrays, found[key], _array(value))
        elif key in arrays:
            old = _tensor(arrays[key])
            arrays[key] = _array(replacement(old, tensor, plain(key), name, key in resized))
        else:
            continue
        written.add(key)
    changed = {source for key in written for source in _sources(found, key)}
    return _like(file, {source: arrays[source] for source in changed}), written


def _sources(found: Mapping[str, Piece], key: str) -> tuple[str, ...]:
    return found[key].sources if key in found else (key,)


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
    if dtype != _BFLOAT16 and dtype.kind not in "biuf":
        return "pickled objects, not read" if dtype.hasobject else f"an array of {dtype}"
    expected = math.prod(shape) * dtype.itemsize
    content = entry.read()
    if len(content) != expected or any(length < 0 for length in shape):
        raise ValueError(f"{member.filename} claims {expected:,} bytes and has {len(content):,}")
    flat = np.frombuffer(content, dtype)
    array = flat.reshape(shape, order="F" if is_fortran else "C")
    return array if dtype == _BFLOAT16 else array.astype(dtype.newbyteorder("="), copy=False)


def _check_members(members: list[zipfile.ZipInfo], name: str, size: int) -> None:
    names = [member.filename for member in members]
    claimed = sum(member.file_size for member in members)
    reason = ""
    if len(members) > MEMBER_LIMIT:
        reason = f"it has {len(members):,} arrays, over {MEMBER_LIMIT:,}"
    elif len(set(names)) < len(names):
        reason = "two of its arrays have the same name"
    elif claimed > _COMPRESSION_LIMIT * size + _SLACK_BYTES:
        reason = f"it has {size:,} bytes and unpacks to {claimed:,}"
    if reason:
        raise UnsafeCheckpointError(
            f"{name} was not written by numpy, or was changed: {reason}. Ask its author for the "
            "weights as safetensors."
        )


def _tensor(array: Array) -> Tensor:
    own = np.array(array, order="C")  # a copy; ascontiguousarray() makes a number a list of one
    if own.dtype == _BFLOAT16:
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def _array(tensor: Tensor) -> Array:
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(_BFLOAT16)
    return tensor.contiguous().numpy()


def _damaged(name: str, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name} is a damaged numpy archive ({reason}): download or copy it again."
    )
