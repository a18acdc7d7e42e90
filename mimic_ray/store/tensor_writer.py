"""Writes tensors as a safetensors file, and its SHA-256 with it.

The library's own writer copies all tensors first and holds the interpreter's lock, so that the step
of another thread waits, and its file would have to be read again to be hashed.
Format: https://huggingface.co/docs/safetensors, eight bytes with the length of the header, the
header as JSON, the bytes of the tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_LEAST_WRITE, _MOST_WRITE = 1 << 20, 16 << 20


class HashedFile(NamedTuple):
    """The facts of a file that was written."""

    bytes: int
    sha256: str


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> HashedFile:
    """Writes tensors on the host. Raises TypeError for a type that the format does not have."""
    # Wide types first, so that each tensor begins at a multiple of its own width.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {}
    start = 0
    for name, tensor in ordered:
        if tensor.dtype not in _NAMES:
            raise TypeError(f"{name} has the type {tensor.dtype}, which a checkpoint cannot hold")
        end = start + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    parts = (_bytes(tensor) for _, tensor in ordered)
    return write_hashed(chain([len(text).to_bytes(8, "little"), text], parts), path)


def write_hashed(parts: Iterable[bytes | memoryview], path: Path) -> HashedFile:
    """Writes the parts in order, and hashes them as they are written."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in _pieces(parts):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return HashedFile(size, digest.hexdigest())


def _pieces(parts: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The same bytes: small parts are joined, and large ones are cut without a copy."""
    joined = bytearray()
    for part in parts:
        if len(joined) + len(part) <= _LEAST_WRITE:
            joined += part
            continue
        yield bytes(joined)
        joined.clear()
        view = memoryview(part)
        for begin in range(0, len(view), _MOST_WRITE):
            yield view[begin : begin + _MOST_WRITE]
    yield bytes(joined)


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes in row-major order, without a copy where they lie so."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
