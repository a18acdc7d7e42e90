"""The layout of torch.save before torch 0.1.10: a tar archive of four members.

sys_info   a pickle
storages   their number; for each a pickle (key, device, class), the number of its elements and
           its bytes; then a pickle of the views (key, key of the whole, offset, elements)
tensors    their number; for each a pickle (key, key of its storage, class), the number of
           dimensions in 8 bytes, sizes, strides and offset in elements
pickle     the content, in which a persistent identity is the key of a tensor or storage
"""

from __future__ import annotations

import struct
import tarfile
from dataclasses import replace
from io import BufferedReader
from itertools import islice
from typing import Any

from mimic_ray.base.errors import NotACheckpointError
from mimic_ray.weight_files.inert import ITEM_BYTES, StorageKind, StorageRef
from mimic_ray.weight_files.legacy_file import (
    Spans,
    next_storage,
    require_little_endian,
)
from mimic_ray.weight_files.pickle_machine import PickleError, run_pickle
from mimic_ray.weight_files.torch_objects import TorchObjects, tensor

_MEMBERS = {"sys_info", "storages", "tensors", "pickle"}


class TarObjects(TorchObjects):
    """`known`: tensors and storages by the number that stands for them."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, Any] = {}

    def persistent(self, identity: Any) -> Any:
        if isinstance(identity, tuple):  # a class with its source
            return identity[0]
        return self.known[int(identity)]


def member_starts(file: BufferedReader, name: str) -> dict[str, int]:
    """The first byte of each member. Raises NotACheckpointError for any other archive."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            members = {member.name: member for member in islice(archive, len(_MEMBERS))}
    except (tarfile.TarError, ValueError, OSError):
        members = {}
    regular = {key for key, member in members.items() if member.isreg() and not member.sparse}
    if regular != _MEMBERS:
        raise NotACheckpointError(f"{name} is a tar archive: unpack it.")
    return {key: member.offset_data for key, member in members.items()}


def read_tar(stream: Any, members: dict[str, int], objects: TarObjects) -> tuple[Any, Spans]:
    """The content, and the first byte and number of bytes of each storage in the stream.

    Raises many types of errors for untrusted bytes.
    """
    stream.seek(members["sys_info"])
    require_little_endian(run_pickle(stream, objects))
    stream.seek(members["storages"])
    spans = {}
    for _ in range(run_pickle(stream, objects)):
        key, _device, kind = run_pickle(stream, objects)
        if not isinstance(kind, StorageKind):
            raise PickleError("a storage of unknown kind")
        _, length = spans[str(key)] = next_storage(stream, kind.dtype)
        storage = StorageRef(str(key), kind.dtype, 0, length, length)
        objects.known[int(key)] = objects.storages[str(key)] = storage
    for key, whole, offset, numbers in run_pickle(stream, objects):
        objects.known[int(key)] = _view(objects.known[int(whole)], offset, numbers)
    stream.seek(members["tensors"])
    for _ in range(run_pickle(stream, objects)):
        key, storage_key, _kind = run_pickle(stream, objects)
        (dimensions,) = struct.unpack("<i4x", stream.read(8))
        sizes = struct.unpack(f"<{dimensions}q", stream.read(8 * dimensions))
        strides = struct.unpack(f"<{dimensions}q", stream.read(8 * dimensions))
        (offset,) = struct.unpack("<q", stream.read(8))
        objects.known[int(key)] = tensor(objects.known[int(storage_key)], offset, sizes, strides)
    stream.seek(members["pickle"])
    return run_pickle(stream, objects), spans


def _view(whole: StorageRef, offset: int, numbers: int) -> StorageRef:
    size = ITEM_BYTES[whole.dtype]
    if not 0 <= offset * size <= (offset + numbers) * size <= whole.length:
        raise PickleError("a view that exceeds its storage")
    return replace(whole, start=offset * size, length=numbers * size)
