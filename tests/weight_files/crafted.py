"""Crafted torch and safetensors files, valid and malicious, and a check that they are refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import time
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mimic_ray.base.errors import CheckpointError
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.sniff import file_format
from mimic_ray.weight_files.torch_file import TorchContent, load_torch


def refused(content: bytes, folder: Path, kind: type[CheckpointError]) -> str:
    """The message of the refusal of a file with this content, within 5 seconds."""
    path = folder / "suspect.pth"
    path.write_bytes(content)
    start = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert type(caught.value) is kind, caught.value
    assert time.monotonic() - start < 5
    assert str(path) in caught.value.message
    return caught.value.message


def torch_bytes(content: object, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def scripted(net: torch.nn.Module) -> bytes:
    """What torch.jit.save writes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but files contain it
        torch.jit.save(torch.jit.script(net), buffer)
    return buffer.getvalue()


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
    }


def old_tar(tensors: Mapping[str, Tensor], big_endian: bool = False) -> bytes:
    """What torch before 0.1.10 wrote for a dictionary of tensors: a tar archive."""
    keys = {name: (1000 + 2 * number, 1001 + 2 * number) for number, name in enumerate(tensors)}
    kinds = {torch.float32: "Float", torch.int64: "Long"}

    def name_of(kind: str) -> bytes:
        return f"ctorch\n{kind}\n".encode()

    def pickled(key: int, second: bytes, kind: str) -> bytes:
        return b"\x80\x02J" + struct.pack("<i", key) + second + name_of(kind) + b"\x87."

    storages = pickle.dumps(len(tensors), 2)
    described = pickle.dumps(len(tensors), 2)
    content = b"\x80\x02ccollections\nOrderedDict\n)R"
    for name, tensor in tensors.items():
        key, storage = keys[name]
        kind = kinds[tensor.dtype]
        storages += pickled(storage, text("cpu"), f"{kind}Storage")
        flat = tensor.contiguous().numpy()
        storages += struct.pack("<q", flat.size) + flat.tobytes()
        described += pickled(key, b"J" + struct.pack("<i", storage), f"{kind}Tensor")
        numbers = *tensor.shape, *tensor.contiguous().stride(), 0
        described += struct.pack("<q", tensor.ndim) + struct.pack(f"<{len(numbers)}q", *numbers)
        content += text(name) + text(str(key)) + b"Qs"
    system = {"protocol_version": 1000, "little_endian": not big_endian}
    members = {
        "sys_info": pickle.dumps(system, 2),
        "pickle": content + b".",
        "tensors": described,
        "storages": storages + pickle.dumps([], 2),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


class Calls:
    """An object that calls `function` when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def shell(canary: Path) -> Calls:
    """Creates the file `canary` if it is executed."""
    return Calls(os.system, f"touch {canary}")


def view(size: tuple[int, ...], stride: tuple[int, ...], numbers: int = 4) -> Calls:
    """A tensor that claims any size and stride over a storage of `numbers` float32 values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # typed storage is deprecated, but files contain it
        storage = torch.zeros(numbers).storage()
    return Calls(torch._utils._rebuild_tensor_v2, storage, 0, size, stride, False, OrderedDict())


def rezipped(
    content: bytes,
    change: Callable[[str, bytes], tuple[str, bytes]] = lambda name, data: (name, data),
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    """The same torch zip with changed records and correct checksums."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(buffer, "w", compression) as new,
    ):
        for name in old.namelist():
            new.writestr(*change(name, old.read(name)))
    return buffer.getvalue()


def with_pickle(change: Callable[[bytes], bytes], content: bytes | None = None) -> bytes:
    """A torch zip with a changed data.pkl."""

    def only_the_pickle(name: str, data: bytes) -> tuple[str, bytes]:
        return name, change(data) if name.endswith("/data.pkl") else data

    return rezipped(content or torch_bytes(weights()), only_the_pickle)


def with_record(change: Callable[[bytes], bytes]) -> bytes:
    """A torch zip with a changed first weight record."""

    def only_the_record(name: str, data: bytes) -> tuple[str, bytes]:
        return name, change(data) if name.endswith("/data/0") else data

    return rezipped(torch_bytes(weights()), only_the_record)


def text(value: str) -> bytes:
    """A string in a protocol 2 pickle."""
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value.encode()


def deep_list(levels: int) -> bytes:
    """A torch zip with nested lists."""
    pickled = b"\x80\x02" + pickle.EMPTY_LIST * levels + pickle.APPEND * (levels - 1) + pickle.STOP
    return with_pickle(lambda _: pickled)


def endless_tuple(levels: int = 40) -> tuple[Any, ...]:
    """2^levels leaves in a few hundred bytes."""
    nested: tuple[Any, ...] = (0,)
    for _ in range(levels):
        nested = (nested, nested)
    return nested


def safetensors_bytes(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def loaded(content: bytes, folder: Path) -> TorchContent:
    """What load_torch makes of a file with this content, in this process."""
    path = folder / "loaded.pth"
    path.write_bytes(content)
    with path.open("rb") as file:
        return load_torch(file, str(path), file_format(file, str(path)), len(content))


def opcodes(canary: Path) -> dict[str, bytes]:
    """Pickles that each create the file `canary` when they are loaded the ordinary way, or end in
    an error, by the opcode that would do it."""
    command = f"touch {canary}"
    name = b"cposix\nsystem\n"
    argument = text(command)
    stack_name = text("posix") + text("system") + pickle.STACK_GLOBAL
    code = f"open({str(canary)!r}, 'w').close()"
    return {
        "REDUCE": name + argument + b"\x85R",
        "GLOBAL and BUILD": name + text("posix") + b"b",
        "STACK_GLOBAL": stack_name + argument + b"\x85R",
        "INST": b"(" + argument + b"iposix\nsystem\n",
        "OBJ": b"(" + name + argument + b"o",
        "NEWOBJ": name + argument + b"\x85\x81",
        "NEWOBJ_EX": name + argument + b"\x85}\x92",
        "EXT1": b"\x82\x01" + argument + b"\x85R",
        "EXT2": b"\x83\x01\x01" + argument + b"\x85R",
        "EXT4": b"\x84\x01\x01\x01\x01" + argument + b"\x85R",
        "PERSID": b"P" + command.encode() + b"\n",
        "BINPERSID": name + argument + b"\x85RQ",
        "NEXT_BUFFER": b"\x97\x98" + argument + b"\x85R",
        "eval": b"cbuiltins\nexec\n" + text(code) + b"\x85R",
        "call of a call": b"cbuiltins\ngetattr\n" + name + text("__call__") + b"\x86R" + b")R",
        "state of a call": b"cargparse\nNamespace\n)R" + name + argument + b"\x85Rb",
        "key": b"}" + name + argument + b"\x85R" + b"K\x01s",
        "item of a set": b"\x8f(" + name + argument + b"\x85R" + b"\x90",
        "arguments of a tensor": b"ctorch._utils\n_rebuild_parameter\n"
        + (name + argument + b"\x85R")
        + b"\x88N\x87R",
        "hooks of a tensor": b"ccollections\nOrderedDict\n" + name + argument + b"\x85R\x85R",
    }
