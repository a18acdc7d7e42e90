"""The child process's part of reading folders of torch.distributed.checkpoint (FSDP).

`.metadata` is a pickle that says where each tensor, or each rank's chunk of it, is; every chunk is
a file of torch.save within a `.distcp` file. The pickle machine reads both; nothing is imported or
called. The layout is that of torch/distributed/checkpoint/metadata.py and filesystem.py.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError, NotACheckpointError
from mimic_ray.base.text import plain
from mimic_ray.weight_files.describe import described, write_tensors
from mimic_ray.weight_files.foreign_names import HARMLESS
from mimic_ray.weight_files.inert import Dtype, OpaqueKey, Placeholder, TensorRef
from mimic_ray.weight_files.pickle_machine import PickleError, run_pickle
from mimic_ray.weight_files.sandbox import WRITTEN
from mimic_ray.weight_files.sniff import TORCH_ZIP
from mimic_ray.weight_files.storages import elements
from mimic_ray.weight_files.torch_file import TorchContent, load_torch
from mimic_ray.weight_files.torch_objects import TorchObjects
from mimic_ray.weight_files.walk import FoundTensors

_PACKAGE = "torch.distributed.checkpoint"
_ROOT = f"{_PACKAGE}.metadata.Metadata"
_OWN = re.compile(r"torch\.distributed\.checkpoint\.(metadata|filesystem)\.\w+$|pathlib\.\w*Path$")
_CENTRAL, _DESCRIPTOR = b"PK\x01\x02", b"PK\x07\x08"


def index(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:  # noqa: ARG001 - writes no file
    """`tensors`: name -> path of dict keys, dtype, size and chunks; `others`: items of no tensor;
    `foreign`: what loading the pickle the ordinary way would import and call."""
    objects = TorchObjects()
    try:
        made = run_pickle(io.BytesIO(file.read()), objects)
        if not isinstance(made, Placeholder) or made.name != _ROOT:
            raise NotACheckpointError(
                f"{request['name']} is not an index of torch.distributed.checkpoint: give the "
                "folder that it wrote."
            )
        tensors, others = _tensors(made.state)
    except (NotACheckpointError, MemoryError):
        raise
    except Exception as error:  # untrusted bytes can raise anything
        reason = plain(str(error) or type(error).__name__, 80)
        raise DamagedCheckpointError(
            f"{request['name']} is damaged ({reason}): copy the folder again."
        ) from error
    return {"tensors": tensors, "others": others, "foreign": _foreign(objects)}


def _foreign(objects: TorchObjects) -> dict[str, list[str]]:
    """What the index names, with the classes that every index has as one name."""
    kinds = objects.foreign.findings()
    found = {kind: [n for n in names if not _OWN.match(n)] for kind, names in kinds.items()}
    found[HARMLESS].append(_PACKAGE)
    return found


def read_items(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes the tensor in each of `items` (first byte, length) to a safetensors file named after
    its number. Returns for each what `describe` returns for a file."""
    replies = []
    for number, (start, length) in enumerate(request["items"]):
        with _item(file, request["name"], start, length) as (content, ref):
            found = FoundTensors({(): {"0": ref}})
            path = folder / str(number)
            with files.disk_errors(path):
                write_tensors(found, content.storages, path, request | {"size": length})
            replies.append(described(content, found))
    return {"items": replies}


def patch_items(file: BufferedReader, request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes the file to WRITTEN with other values in `items`: those in the file of its number.

    Nothing moves: values are replaced in place, and the checksums of their records.
    """
    written = folder / WRITTEN
    with files.disk_errors(written), written.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    with files.disk_errors(written), written.open("r+b") as copy:
        for number, (start, length) in enumerate(request["items"]):
            with _item(file, request["name"], start, length) as (content, ref):
                assert ref.storage is not None
                storage = content.storages.read(ref.storage)
                target = elements(ref, storage)
                new = np.frombuffer((folder / str(number)).read_bytes(), target.dtype)
                target[...] = new.reshape(target.shape)
                first, _ = content.storages.spans[ref.storage.key]
                os.pwrite(copy.fileno(), storage.data, start + first)
                checksum = struct.pack("<I", zlib.crc32(storage.data))
                whole = os.pread(file.fileno(), length, start)
                for offset in _checksum_offsets(whole, first, len(storage)):
                    os.pwrite(copy.fileno(), checksum, start + offset)
    return {}


@contextmanager
def _item(
    file: BufferedReader, name: str, start: int, length: int
) -> Iterator[tuple[TorchContent, TensorRef]]:
    """The one tensor that torch.save wrote to these bytes of the file."""
    descriptor = os.memfd_create("item")
    with os.fdopen(descriptor, "r+b") as own:
        done = 0
        while number := os.sendfile(descriptor, file.fileno(), start + done, length - done):
            done += number
        content = load_torch(own, f"{name}, byte {start:,}", TORCH_ZIP, length)  # type: ignore[arg-type]
        ref = content.tree
        if not isinstance(ref, TensorRef) or ref.kind or ref.storage is None:
            raise DamagedCheckpointError(
                f"{name} has no plain tensor at byte {start:,}, where the index says there is "
                "one: copy the folder again."
            )
        yield content, ref


def _checksum_offsets(whole: bytes, first: int, length: int) -> list[int]:
    """Where a zip says the checksum of the record whose content starts at `first`: in the header
    before it, in the descriptor behind it, if there is one, and in the directory at the end."""
    offsets = []
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entry = archive.start_dir
        for member in archive.infolist():
            name, extra, comment = struct.unpack("<28xHHH", whole[entry : entry + 34])
            if whole[entry : entry + 4] != _CENTRAL:
                raise PickleError("a zip without a directory")
            header = member.header_offset
            local = struct.unpack("<26xHH", whole[header : header + 30])
            if header + 30 + sum(local) == first:
                offsets.append(entry + 16)
                if not member.flag_bits & 8:
                    offsets.append(header + 14)
                elif whole[first + length : first + length + 4] == _DESCRIPTOR:
                    offsets.append(first + length + 4)
            entry += 46 + name + extra + comment
    if not offsets:
        raise PickleError("a record that is not in the zip's directory")
    return offsets


def _tensors(state: Any) -> tuple[dict[str, Any], int]:
    chunks = _stored_chunks(state["storage_data"])
    paths = state.get("planner_data")
    tensors, others = {}, 0
    for name, entry in state["state_dict_metadata"].items():
        if not entry.name.endswith(".TensorStorageMetadata"):
            others += 1
            continue
        fields = entry.state
        path = paths.get(name) if isinstance(paths, dict) else None
        tensors[_text(name)] = {
            "path": [str(step) for step in path] if isinstance(path, tuple) and path else [name],
            "dtype": _dtype(fields["properties"].state),
            "size": _numbers(fields["size"]),
            "chunks": [
                {
                    "offsets": _numbers(chunk.state["offsets"]),
                    "sizes": _numbers(chunk.state["sizes"]),
                    **chunks[name, tuple(chunk.state["offsets"])],
                }
                for chunk in fields["chunks"]
            ],
        }
    return tensors, others


def _stored_chunks(storage: Mapping[Any, Any]) -> dict[tuple[str, tuple[int, ...]], dict[str, Any]]:
    """By name and offsets: the file of a chunk, its first byte and its length there."""
    found = {}
    for key, info in storage.items():
        at = key.value.state if isinstance(key, OpaqueKey) else {}
        if at.get("offset") is None:  # an item of no tensor
            continue
        fields = info.state
        if fields.get("transform_descriptors"):
            raise PickleError("it is compressed by an extension")
        found[_text(at["fqn"]), tuple(at["offset"])] = {
            "file": _text(fields["relative_path"]),
            "start": _numbers([fields["offset"]])[0],
            "length": _numbers([fields["length"]])[0],
        }
    return found


def _dtype(properties: Any) -> str:
    dtype = properties["dtype"] if isinstance(properties, dict) else properties[0]
    if not isinstance(dtype, Dtype):
        raise PickleError("a tensor without a type")
    return dtype.name


def _numbers(values: Any) -> list[int]:
    if not all(type(value) is int and 0 <= value < 1 << 62 for value in values):
        raise PickleError("a negative size")
    return [*values]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PickleError("a name that is not text")
    return value
