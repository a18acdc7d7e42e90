"""Training state <-> two files without pickle: tensors in safetensors, everything else in JSON.

Files are hashed while they are written, so that a commit reads nothing back.

The state is a nest of dicts (keys: text or whole numbers, as in an optimizer's state), lists and
tuples; its leaves are tensors, numbers, text, booleans and None. What is read equals what was
written, bit for bit, down to the memory format of a tensor: with another one, elementwise
kernels may round differently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mimic_ray.store.tensor_writer import HashedFile, write_hashed, write_tensors

TENSORS = "tensors.safetensors"
VALUES = "state.json"


def write_state(folder: Path, state: Mapping[str, Any]) -> dict[str, HashedFile]:
    """Writes both files into `folder`; returns their sizes and checksums by name.

    Raises TypeError for any other leaf, with its path.
    """
    tensors: dict[str, Tensor] = {}
    values = json.dumps(_encode(state, (), tensors)).encode("ascii")
    return {
        TENSORS: write_tensors(tensors, folder / TENSORS),
        VALUES: write_hashed([values], folder / VALUES),
    }


def read_state(folder: Path) -> dict[str, Any]:
    """What `write_state` was given, tensors on the CPU."""
    tensors = load_file(folder / TENSORS)
    state: dict[str, Any] = _decode(json.loads((folder / VALUES).read_text("ascii")), tensors)
    return state


def _encode(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    """A value as JSON: leaves as they are, anything else as an object with one tagged entry."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        # The number makes the name unique whatever the keys are; the path is for human readers.
        name = f"{len(tensors):05d}/{'/'.join(path)}"
        tensors[name] = value.detach()
        return {"channels_last" if _is_channels_last(value) else "tensor": name}
    if isinstance(value, Mapping):
        if odd := [key for key in value if type(key) not in (str, int)]:
            raise TypeError(f"state{_at(path)} has the key {odd[0]!r}: only text and int are kept")
        # Pairs, since JSON would turn the key 0 into "0".
        pairs = [[key, _encode(item, (*path, str(key)), tensors)] for key, item in value.items()]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_encode(item, (*path, str(i)), tensors) for i, item in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": items}
    raise TypeError(f"state{_at(path)} is a {type(value).__name__}, which a checkpoint cannot hold")


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "channels_last":
        return tensors[content].to(memory_format=torch.channels_last)
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    items = [_decode(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)


def _is_channels_last(tensor: Tensor) -> bool:
    return (
        tensor.dim() == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def _at(path: tuple[str, ...]) -> str:
    return f" at {'/'.join(path)}" if path else ""
