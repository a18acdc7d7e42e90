"""Writes a torch file again with some tensors replaced, in the child process.

The new values go to where the old ones were in the storages. So all tensors that share that memory
have them: two names of one module, or a flat buffer with views. The file's tree (plain_tree.py)
has nothing that a pickle could run, and torch.save writes it.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.base.text import plain
from mimic_ray.weight_files.inert import (
    ITEM_BYTES,
    Device,
    Dtype,
    Size,
    StorageRef,
    TensorRef,
)
from mimic_ray.weight_files.sniff import PICKLE, TORCH_ZIP
from mimic_ray.weight_files.storages import Storages
from mimic_ray.weight_files.tensors import replacement
from mimic_ray.weight_files.torch_file import TorchContent
from mimic_ray.weight_files.walk import KeyPath, walk

_PROTOCOL = 4  # of plain pickles: Python 3.4


def rewrite(content: TorchContent, request: dict[str, Any], new: Path, written: Path) -> None:
    """Writes `written` with the tensors in `new`; `request["targets"]` says which go where.

    Raises DamagedCheckpointError if the file is not the one that was read, or a value does not fit
    the file's precision.
    """
    name = request["name"]
    found = walk(content.tree)
    builder = _Builder(content.storages)
    replacements = load_file(new)
    pending: list[tuple[KeyPath, str, TensorRef, Tensor]] = []
    for target in request["targets"]:
        path = tuple(target["group"])
        refs = found.groups.get(path, {})
        if not target["keys"].keys() <= refs.keys():
            raise DamagedCheckpointError(
                f"{name} has changed since it was read: restore the original file."
            )
        for key, number in target["keys"].items():
            old = builder.view(refs[key])
            resized = key in target["resized"]
            value = replacement(old, replacements[number], plain(key), name, resized)
            if value.shape == old.shape:
                old.copy_(value)
            pending.append((path, key, refs[key], value))
    for path, key, ref, value in pending:
        same_shape = value.shape == ref.shape
        if same_shape and torch.equal(builder.view(ref), value):
            continue
        # Two weights of the encoder in one memory that differ now, or one in another shape.
        own = builder.as_described(value, ref)
        _group(content.tree, path)[key] = own
        if not same_shape:
            for other, refs in found.groups.items():
                for name_there, there in refs.items():
                    if there.region == ref.region:
                        _group(content.tree, other)[name_there] = own
    tree = builder.build(content.tree)
    as_zip = request["format"] == TORCH_ZIP
    with written.open("wb") as file:
        if request["format"] == PICKLE:
            pickle.dump(tree, file, _PROTOCOL)
        else:
            torch.save(tree, file, _use_new_zipfile_serialization=as_zip)


def _group(tree: Any, path: KeyPath) -> dict[str, Any]:
    for step in path:
        tree = tree[int(step) if isinstance(tree, list | tuple) else step]
    group: dict[str, Any] = tree
    return group


class _Builder:
    """torch's objects from their descriptions."""

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._read: dict[str, torch.UntypedStorage] = {}
        self._built: dict[int, Any] = {}  # by identity of the description
        self._done: dict[int, tuple[Any, Any]] = {}

    def view(self, ref: TensorRef) -> Tensor:
        """The tensor as it is in its storage; changing it changes the storage."""
        assert ref.storage is not None
        dtype = getattr(torch, ref.dtype)
        start = ref.storage.start // ITEM_BYTES[ref.dtype] + ref.offset
        return torch.empty(0, dtype=dtype).set_(
            self._storage(ref.storage), start, ref.shape, ref.stride
        )

    def build(self, value: Any) -> Any:
        """The tree with tensors, sizes, types and devices of torch; changes it in place."""
        if isinstance(value, TensorRef):
            return self._tensor(value)
        if isinstance(value, Dtype):
            return getattr(torch, value.name)
        if isinstance(value, Size):
            return torch.Size(value)
        if isinstance(value, Device):
            return torch.device(*value.arguments)
        if not isinstance(value, dict | list | tuple):
            return value
        if id(value) in self._done:
            return self._done[id(value)][1]
        if isinstance(value, tuple):
            built = tuple(map(self.build, value))
            self._done[id(value)] = value, built
            return built
        self._done[id(value)] = value, value
        if isinstance(value, list):
            value[:] = map(self.build, value)
            return value
        for entries in (value, getattr(value, "__dict__", {})):
            for key in [*entries]:
                if isinstance(entries[key], TensorRef) and entries[key].storage is None:
                    del entries[key]  # not dense
                else:
                    entries[key] = self.build(entries[key])
        return value

    def _tensor(self, ref: TensorRef) -> Any:
        if ref.storage is None:
            return None
        if id(ref) not in self._built:
            self._built[id(ref)] = self.as_described(self.view(ref), ref)
        return self._built[id(ref)]

    def as_described(self, tensor: Tensor, ref: TensorRef) -> Any:
        """A parameter, a tensor that wants gradients, or an array, where the file has one."""
        if ref.is_array:
            return tensor.numpy()
        wants = ref.requires_grad and (tensor.is_floating_point() or tensor.is_complex())
        return (
            torch.nn.Parameter(tensor, wants) if ref.is_parameter else tensor.requires_grad_(wants)
        )

    def _storage(self, storage: StorageRef) -> torch.UntypedStorage:
        if storage.key not in self._read:
            content = torch.from_numpy(self._storages.read(storage))
            self._read[storage.key] = content.untyped_storage()
        return self._read[storage.key]
