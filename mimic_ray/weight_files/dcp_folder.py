"""Reads and writes folders of torch.distributed.checkpoint (FSDP), whole or split over ranks.

The child process reads the index and every chunk (dcp_items.py). This module checks that the chunks
lie in the folder, within their files, and cover each tensor exactly, and puts them together. The
export is the same folder with other values in place: index, optimizer and all else stay.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mimic_ray.base import files
from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    MissingCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import count, plain
from mimic_ray.weight_files import sandbox, sniff
from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.inert import ITEM_BYTES
from mimic_ray.weight_files.joined import Group, Part, ReadFile
from mimic_ray.weight_files.tensor_info import TensorInfo
from mimic_ray.weight_files.tensors import checked_infos, replacement
from mimic_ray.weight_files.weight_parts import WeightFiles

INDEX_LIMIT_BYTES = 64 << 20
# Chunks of one tensor, one a rank; two of them must not overlap.
_CHUNK_LIMIT = 4096
_NO_LIMIT = 1 << 62  # the files together were checked before


@dataclass(frozen=True)
class _Chunk:
    """A part of a tensor: `offsets` and `sizes` in it, and where it is in a file."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    file: str
    start: int  # bytes
    length: int

    def of(self, tensor: Tensor) -> Tensor:
        """The view of the whole tensor that this chunk is."""
        for axis, (offset, size) in enumerate(zip(self.offsets, self.sizes, strict=True)):
            tensor = tensor.narrow(axis, offset, size)
        return tensor

    def overlaps(self, other: _Chunk) -> bool:
        pairs = zip(self.offsets, self.sizes, other.offsets, other.sizes, strict=True)
        return all(a < c + d and c < a + b for a, b, c, d in pairs)


@dataclass(frozen=True)
class _Entry:
    """A tensor in the index."""

    group: Group
    key: str
    dtype: str
    size: tuple[int, ...]
    chunks: tuple[_Chunk, ...]


def read_dcp(whole: WeightFiles) -> tuple[ReadFile[tuple[TensorInfo, Tensor]], list[Part]]:
    """All tensors of the folder, and its files.

    Raises MissingCheckpointError for a file that is missing, DamagedCheckpointError for chunks that
    do not cover their tensor, UnsafeCheckpointError for claims that exceed the files.
    """
    with sandbox.shared():
        entries, reply = _index(whole)
        tensors = {number: _empty(entry) for number, entry in enumerate(entries)}
        for file, numbers in _by_file(whole, entries).items():
            chunks = [entries[number].chunks[index] for number, index in numbers]
            for (number, _), chunk, values in zip(
                numbers, chunks, _read(file, chunks), strict=True
            ):
                target = chunk.of(tensors[number])
                if values.shape != target.shape or values.dtype != target.dtype:
                    raise _damaged(whole, f"{plain(file.name)} differs from the index")
                target.copy_(values)
    groups: dict[Group, dict[str, tuple[TensorInfo, Tensor]]] = {}
    for number, entry in enumerate(entries):
        info = checked_infos({"": tensors[number]})[""]
        groups.setdefault(entry.group, {})[entry.key] = info, tensors[number]
    notes = {}
    if reply["others"]:
        notes["other items"] = f"{count(reply['others'], 'item')} without tensors, not read"
    contents = Contents.of_names(reply["foreign"])
    parts = [Part(file.name, file.stat().st_size, files.sha256(file)) for file in whole.files]
    return ReadFile(groups, notes, contents), parts


def write_dcp(
    whole: WeightFiles,
    new: Mapping[tuple[Group, str], Tensor],
    resized: Collection[tuple[Group, str]],
    folder: Path,
) -> set[tuple[Group, str]]:
    """Writes the folder's files to `folder` with these tensors; returns those that it has.

    Raises CheckpointError for tensors of another size, which do not fit.
    """
    with sandbox.shared():
        entries, _ = _index(whole)
        changed: dict[int, Tensor] = {}
        for number, entry in enumerate(entries):
            stored = entry.group, entry.key
            if stored in resized:
                raise CheckpointError(
                    f"{plain(whole.folder)}: position embeddings of another size do not fit into a "
                    "folder of torch.distributed.checkpoint. Name the encoder with the size of the "
                    "file's own (mimic-ray inspect shows it)."
                )
            if stored in new:
                old = torch.empty(entry.size, dtype=getattr(torch, entry.dtype), device="meta")
                name = plain(whole.folder)
                changed[number] = replacement(old, new[stored], plain(entry.key), name)
        by_file = _by_file(whole, entries)
        for file in whole.files:
            numbers = [pair for pair in by_file.get(file, []) if pair[0] in changed]
            chunks = [entries[number].chunks[index] for number, index in numbers]
            values = [
                chunk.of(changed[number])
                for (number, _), chunk in zip(numbers, chunks, strict=True)
            ]
            files.write_bytes(folder / file.name, _patched(file, chunks, values))
    return {(entries[number].group, entries[number].key) for number in changed}


def _index(whole: WeightFiles) -> tuple[list[_Entry], dict[str, Any]]:
    metadata = whole.files[0]
    name = sniff.shown(metadata)
    with sniff.opened(metadata, INDEX_LIMIT_BYTES) as file, sandbox.working_folder() as folder:
        reply = sandbox.run("dcp_index", file, folder, name=name)
    entries = []
    for raw in reply["tensors"].values():
        chunks = tuple(
            _Chunk(**{**each, "offsets": tuple(each["offsets"]), "sizes": tuple(each["sizes"])})
            for each in raw["chunks"]
        )
        *group, key = raw["path"]
        entry = _Entry(tuple(group), key, raw["dtype"], tuple(raw["size"]), chunks)
        _check_cover(whole, entry)
        entries.append(entry)
    claimed = sum(math.prod(entry.size) * ITEM_BYTES[entry.dtype] for entry in entries)
    total = sum(path.stat().st_size for path in whole.files)
    if claimed > total:
        raise UnsafeCheckpointError(
            f"{plain(whole.folder)} has {total:,} bytes, but its tensors claim {claimed:,}. Ask "
            "its author for the weights alone."
        )
    return entries, reply


def _check_cover(whole: WeightFiles, entry: _Entry) -> None:
    """The chunks must lie in the tensor, not overlap, and have all its values."""
    shown = f'the chunks of "{plain(entry.key, 80)}" do not make up the tensor'
    chunks = [chunk for chunk in entry.chunks if 0 not in chunk.sizes]
    inside = all(
        len(chunk.offsets) == len(chunk.sizes) == len(entry.size)
        and all(o + s <= n for o, s, n in zip(chunk.offsets, chunk.sizes, entry.size, strict=True))
        for chunk in entry.chunks
    )
    volume = sum(math.prod(chunk.sizes) for chunk in chunks)
    if not inside or volume != math.prod(entry.size) or len(chunks) > _CHUNK_LIMIT:
        raise _damaged(whole, shown)
    for number, chunk in enumerate(chunks):
        if any(chunk.overlaps(other) for other in chunks[:number]):
            raise _damaged(whole, shown)


def _by_file(whole: WeightFiles, entries: list[_Entry]) -> dict[Path, list[tuple[int, int]]]:
    """File -> (number of the entry, number of its chunk) for each chunk in it."""
    known = {path.name: path for path in whole.files[1:]}
    found: dict[Path, list[tuple[int, int]]] = {}
    for number, entry in enumerate(entries):
        for index, chunk in enumerate(entry.chunks):
            if chunk.file not in known:
                if "/" in chunk.file or chunk.file in ("", ".", ".."):
                    raise UnsafeCheckpointError(
                        f'{plain(whole.files[0])} names "{plain(chunk.file, 80)}", which is '
                        "outside of its folder. Ask its author for the weights alone."
                    )
                raise MissingCheckpointError(
                    f"{plain(whole.files[0])} needs {plain(chunk.file)}, missing in "
                    f"{plain(whole.folder)}: copy it too."
                )
            if 0 not in chunk.sizes:
                found.setdefault(known[chunk.file], []).append((number, index))
    return found


def _read(path: Path, chunks: list[_Chunk]) -> Iterator[Tensor]:
    items = [(chunk.start, chunk.length) for chunk in chunks]
    with sniff.opened(path, _NO_LIMIT) as file, sandbox.working_folder() as folder:
        _check_offsets(path, file, items)
        sandbox.run("dcp_read", file, folder, name=sniff.shown(path), items=items)
        for number in range(len(items)):
            (values,) = load_file(folder / str(number)).values()
            yield values


def _patched(path: Path, chunks: list[_Chunk], values: list[Tensor]) -> bytes:
    if not chunks:
        return path.read_bytes()
    items = [(chunk.start, chunk.length) for chunk in chunks]
    with sniff.opened(path, _NO_LIMIT) as file, sandbox.working_folder() as folder:
        _check_offsets(path, file, items)
        for number, part in enumerate(values):
            content = part.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
            with files.disk_errors(folder / str(number)):
                (folder / str(number)).write_bytes(content)
        sandbox.run("dcp_patch", file, folder, name=sniff.shown(path), items=items)
        return (folder / sandbox.WRITTEN).read_bytes()


def _check_offsets(path: Path, file: BufferedReader, items: list[tuple[int, int]]) -> None:
    size = os.fstat(file.fileno()).st_size
    if any(start + length > size for start, length in items):
        raise DamagedCheckpointError(
            f"{sniff.shown(path)} is shorter than its folder's index says: copy it again."
        )
    if sum(length for _, length in items) > size:
        raise UnsafeCheckpointError(
            f"{sniff.shown(path)} has {size:,} bytes, and its index claims more. Ask its author "
            "for the weights alone."
        )


def _empty(entry: _Entry) -> Tensor:
    return torch.empty(entry.size, dtype=getattr(torch, entry.dtype))


def _damaged(whole: WeightFiles, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{plain(whole.folder)} is damaged ({reason}): copy the folder again."
    )
