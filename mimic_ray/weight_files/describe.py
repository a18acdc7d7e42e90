"""What the child process reports of a torch file: its tensors, their values, its other content."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mimic_ray.base.errors import UnsafeCheckpointError
from mimic_ray.weight_files.inert import ITEM_BYTES, StorageRef, TensorRef
from mimic_ray.weight_files.storages import Storages, elements
from mimic_ray.weight_files.torch_file import TorchContent
from mimic_ray.weight_files.values import EXPONENTS, not_finite
from mimic_ray.weight_files.walk import FoundTensors

# The types that safetensors has; tensors of another type are listed but not read.
_TYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
    "bool": "BOOL",
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
}


def described(content: TorchContent, found: FoundTensors) -> dict[str, Any]:
    """As JSON: `groups` with the fields of a TensorInfo for each key; what Contents has."""
    regions: dict[Hashable, int] = {}
    wrong = _not_finite(found, content.storages)
    groups = []
    for path, tensors in found.groups.items():
        fields = {}
        for key, ref in tensors.items():
            region = regions.setdefault(ref.region, len(regions))
            kind = ref.kind or ("" if ref.dtype in _TYPES else "unsupported")
            dtype = f"{kind} {ref.dtype}".strip()
            fields[key] = ref.shape, dtype, wrong.get(ref.region, 0), region
        groups.append({"path": path, "tensors": fields})
    return {
        "groups": groups,
        "notes": found.notes,
        "foreign": content.foreign,
        "changed": content.changed,
        "not_dense": Counter(
            ref.kind
            for tensors in found.groups.values()
            for ref in tensors.values()
            if _is_lost(ref)
        ),
    }


def _not_finite(found: FoundTensors, storages: Storages) -> dict[Hashable, int]:
    """The number of NaN and infinity in each tensor that has any; every storage is read once."""
    by_storage: dict[StorageRef, dict[Hashable, TensorRef]] = {}
    for ref in _plain(found):
        assert ref.storage is not None
        if ref.dtype in EXPONENTS:
            whole = replace(ref.storage, start=0, length=ref.storage.total, dtype="")
            by_storage.setdefault(whole, {})[ref.region] = ref
    wrong = {}
    for whole, refs in by_storage.items():
        storage = storages.read(whole)
        for region, ref in refs.items():
            if number := not_finite(elements(ref, storage), ref.dtype):
                wrong[region] = number
    return wrong


def write_tensors(
    found: FoundTensors, storages: Storages, path: Path, request: dict[str, Any]
) -> list[dict[str, str]]:
    """Writes every plain tensor once, in the format of safetensors. Returns, for each group, the
    number of each key in the file.

    Raises UnsafeCheckpointError if overlapping views have more bytes than twice the file.
    """
    numbers: dict[Hashable, tuple[str, TensorRef]] = {}
    for ref in _plain(found):
        numbers.setdefault(ref.region, (str(len(numbers)), ref))
    header, offset = {}, 0
    for number, ref in numbers.values():
        length = _length(ref)
        header[number] = {
            "dtype": _TYPES[ref.dtype],
            "shape": ref.shape,
            "data_offsets": [offset, offset + length],
        }
        offset += length
    if offset > 2 * request["size"]:
        raise UnsafeCheckpointError(
            f"{request['name']} has {request['size']:,} bytes, but its tensors claim {offset:,}. "
            "Ask its author for the weights alone."
        )
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    last: tuple[str, Any] = "", None
    with path.open("wb") as written:
        written.write(struct.pack("<Q", len(text)) + text)
        for _number, ref in numbers.values():
            assert ref.storage is not None
            if last[1] is None or last[0] != ref.storage.key:
                last = ref.storage.key, storages.read(ref.storage)
            written.write(np.ascontiguousarray(elements(ref, last[1])).data)
    return [
        {key: numbers[ref.region][0] for key, ref in tensors.items() if _is_plain(ref)}
        for tensors in found.groups.values()
    ]


def _plain(found: FoundTensors) -> list[TensorRef]:
    return [ref for tensors in found.groups.values() for ref in tensors.values() if _is_plain(ref)]


def _is_lost(ref: TensorRef) -> bool:
    """Whether rewrite.py cannot write it: it has no storage of its own."""
    return ref.storage is None


def _is_plain(ref: TensorRef) -> bool:
    return not ref.kind and ref.dtype in _TYPES


def _length(ref: TensorRef) -> int:
    return int(np.prod(ref.shape, dtype=object)) * ITEM_BYTES[ref.dtype]
