"""Reads what torch.save and torch.jit.save wrote, without torch and without running any of it.

A zip has the pickle in data.pkl and each storage in a record. A legacy file is five pickles (magic
number, protocol, system, content, keys of the storages) and then the storages, each after the
number of its elements. TorchScript is a zip with code beside data.pkl; the code is not read.

Runs only in the child process (see sandbox.py). There is no other way to read a torch file and no
switch, because an attacker chooses which error a file raises.
"""

from __future__ import annotations

import io
import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    NotACheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint.archive import Archive, check_archive
from mimic_ray.encoders.checkpoint.contents import Contents
from mimic_ray.encoders.checkpoint.inert import ITEM_BYTES
from mimic_ray.encoders.checkpoint.pickle_machine import PickleError, run_pickle
from mimic_ray.encoders.checkpoint.plain_tree import plain_tree
from mimic_ray.encoders.checkpoint.sniff import TORCH_ZIP
from mimic_ray.encoders.checkpoint.storages import Storages
from mimic_ray.encoders.checkpoint.torch_objects import TorchObjects

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


@dataclass(frozen=True)
class TorchContent:
    """The content of a torch file.

    `tree`: dictionaries, lists, tuples and plain values, with a TensorRef for each tensor.
    `changed`: the kinds of objects in the file that the tree has as plain values or not at all.
    `foreign`: what loading it the ordinary way would import and call, by kind.
    """

    tree: Any
    storages: Storages
    changed: Counter[str]
    foreign: dict[str, list[str]]


def load_torch(file: BufferedReader, name: str, file_format: str, size: int) -> TorchContent:
    """The content of a torch file, checked. Raises a CheckpointError for any bad bytes."""
    archive = check_archive(file, name, size) if file_format == TORCH_ZIP else None
    try:
        objects = TorchObjects()
        read = _of_zip(archive, objects) if archive else _of_legacy(file, objects, name)
        content, storages = read
        storages.check(objects.storages)
        tree, changed = plain_tree(content, name)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # untrusted bytes can raise anything
        reason = plain(str(error) or type(error).__name__)
        raise DamagedCheckpointError(
            f"{name} is damaged ({reason}): download or copy it again."
        ) from error
    return TorchContent(tree, storages, changed, objects.foreign.findings())


def _of_zip(archive: Archive, objects: TorchObjects) -> tuple[Any, Storages]:
    if archive.small("byteorder", b"little") != b"little":
        raise PickleError("it was written by a machine of the other byte order")
    content = run_pickle(io.BytesIO(archive.small("data.pkl")), objects)
    places = {
        record.removeprefix("data/"): place
        for record, place in archive.places.items()
        if record.startswith("data/")
    }
    return content, Storages(archive.descriptor, places)


def _of_legacy(file: BufferedReader, objects: TorchObjects, name: str) -> tuple[Any, Storages]:
    # Mapped, because the pickles stand at the start of a large file.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        if run_pickle(stream, objects) != _LEGACY_MAGIC:
            raise _not_of_torch(objects, name)
        protocol, system = run_pickle(stream, objects), run_pickle(stream, objects)
        if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict):
            raise PickleError("an unknown protocol")
        if system.get("little_endian") is not True:
            raise PickleError("it was written by a machine of the other byte order")
        content, keys = run_pickle(stream, objects), run_pickle(stream, objects)
        places = {}
        for key in keys:
            storage = objects.storages[str(key)]
            (numbers,) = struct.unpack("<q", stream.read(8))
            length = numbers * ITEM_BYTES[storage.dtype]
            start = stream.tell()
            if not 0 <= length <= len(stream) - start:
                raise PickleError("it ends early")
            places[storage.key] = start, length
            stream.seek(start + length)
    return content, Storages(file.fileno(), places)


def _not_of_torch(objects: TorchObjects, name: str) -> CheckpointError:
    found = Contents.of_names(objects.foreign.findings())
    told = f"{name} is a pickle that torch.save did not write"
    if found.commands:
        return UnsafeCheckpointError(
            f"{told}. {found.finding()} Nothing in it was run. Do not load it with other programs."
        )
    return NotACheckpointError(f"{told}: save its weights with torch.save or safetensors.")
