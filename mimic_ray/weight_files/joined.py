"""One checkpoint from one or more files: their groups of weights together, and one checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Generic, TypeVar

from mimic_ray.base import files
from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    NotACheckpointError,
    TooLargeCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain
from mimic_ray.weight_files import sandbox, sniff
from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.file_search import find_files
from mimic_ray.weight_files.model_config import Config, config_of, described
from mimic_ray.weight_files.weight_parts import WeightFiles

Group = tuple[str, ...]  # keys of nested dictionaries that lead to some tensors; () is the top
T = TypeVar("T")
DCP = "torch-distributed"  # the format of a folder
_OPTIMIZER = {"state", "param_groups"}  # the keys of an optimizer's state_dict()
Groups = dict[Group, dict[str, T]]


@dataclass(frozen=True)
class OpenedFile:
    """A regular file that looks like weights."""

    file: BufferedReader
    name: str
    format: str
    sha256: str


@dataclass(frozen=True)
class ReadFile(Generic[T]):
    """What is in one file."""

    groups: Groups[T]
    notes: dict[str, str]
    contents: Contents = field(default_factory=Contents)


@dataclass(frozen=True)
class Part:
    """One file with weights, as it was read."""

    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class Joined(Generic[T]):
    """All that is known of a checkpoint; the fields are those of `Layout` and `Checkpoint`."""

    sha256: str
    format: str
    groups: Groups[T]
    notes: dict[str, str]
    parts: tuple[Part, ...]
    config: Config
    contents: Contents


def sha256_of(parts: Sequence[Part]) -> str:
    """The checksum of a checkpoint: that of its file, or of what `sha256sum` prints for its parts.

    For several files: of the lines "CHECKSUM  NAME" in the order of the names, which is what
    `cd FOLDER && sha256sum PART PART ... | sha256sum` computes.
    """
    if len(parts) == 1:
        return parts[0].sha256
    lines = "".join(f"{part.sha256}  {part.name}\n" for part in parts)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def checksum(path: Path) -> str:
    """The checksum of the checkpoint at `path`, without reading its weights."""
    return sha256_of(
        [
            Part(file.name, file.stat().st_size, files.sha256(file))
            for file in find_files(path).files
        ]
    )


def read_parts(
    path: Path,
    limit_bytes: int,
    read: Callable[[OpenedFile], ReadFile[T]],
    read_folder: Callable[[WeightFiles], tuple[ReadFile[T], list[Part]]],
) -> Joined[T]:
    """The checkpoint at `path`, whose files `read` reads one after the other; `read_folder` reads
    folders of torch.distributed.checkpoint.

    Raises what `find_files`, `opened_weights` and `read` raise; TooLargeCheckpointError if the
    files together exceed the limit; UnsafeCheckpointError if two parts have the same key;
    DamagedCheckpointError if a part lacks a key that the index says it has.
    """
    whole = find_files(path)
    _require_size(whole, limit_bytes)
    config = config_of(whole)
    notes = dict(whole.notes)
    if words := described(config):
        notes["config.json"] = words
    if whole.is_dcp:
        file_format = DCP
        found, parts = read_folder(whole)
    else:
        file_format, found, parts = _read_files(whole, limit_bytes, read)
    if not found.groups:
        raise _no_weights(sniff.shown(path), found)
    return Joined(
        sha256_of(parts),
        file_format,
        found.groups,
        notes | found.notes,
        tuple(parts),
        config,
        found.contents,
    )


def _read_files(
    whole: WeightFiles, limit_bytes: int, read: Callable[[OpenedFile], ReadFile[T]]
) -> tuple[str, ReadFile[T], list[Part]]:
    """The formats of the files, and what is in all of them together."""
    groups: Groups[T] = {}
    notes: dict[str, str] = {}
    home: dict[tuple[Group, str], str] = {}
    parts, formats, contents = [], set(), []
    with sandbox.shared() if len(whole.files) > 1 else nullcontext():
        for file in whole.files:
            with opened_weights(file, limit_bytes) as opened:
                found = read(opened)
                size = os.fstat(opened.file.fileno()).st_size
            parts.append(Part(file.name, size, opened.sha256))
            formats.add(opened.format)
            notes |= found.notes
            contents.append(found.contents)
            for group, tensors in found.groups.items():
                _require_new(home, group, tensors, file)
                groups.setdefault(group, {}).update(tensors)
    # An index of Flax has its own names, which are read as those of torch.
    for key, part in whole.index.items() if formats != {sniff.FLAX} else ():
        if home.get(((), key)) != part:
            raise DamagedCheckpointError(
                f'{sniff.shown(whole.files[0].with_name(part))} lacks "{plain(key)}", which the '
                "index says it has: download or copy all parts again."
            )
    together = ReadFile(groups, notes, Contents.together(contents))
    return "+".join(sorted(formats)), together, parts


def _no_weights(name: str, found: ReadFile[T]) -> CheckpointError:
    if found.contents.commands:
        return UnsafeCheckpointError(
            f"{name} has no weights. {found.contents.finding()} Nothing in it was run. Do not load "
            "it with other programs."
        )
    if found.notes.keys() >= _OPTIMIZER:
        return NotACheckpointError(
            f"{name} is the state of an optimizer: give the file with the network's weights, "
            "which trainers save beside it."
        )
    return NotACheckpointError(
        f"{name} contains no named tensors: save the network's state_dict()."
    )


@contextmanager
def opened_weights(path: Path, limit_bytes: int) -> Iterator[OpenedFile]:
    """Opens a file, identifies its format and hashes it.

    Raises NotACheckpointError and TooLargeCheckpointError.
    """
    name = sniff.shown(path)
    with sniff.opened(path, limit_bytes) as file:
        file_format = sniff.file_format(file, name)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield OpenedFile(file, name, file_format, digest)


def _require_size(whole: WeightFiles, limit_bytes: int) -> None:
    """The limit for all files together. One file alone is checked when it is opened."""
    if len(whole.files) == 1:
        return
    total = sum(path.stat().st_size for path in whole.files)
    if total > limit_bytes:
        raise TooLargeCheckpointError(
            f"{plain(whole.files[0].parent)} has {total:,} bytes in {len(whole.files):,} parts, "
            f"over the limit of {limit_bytes:,}: save only the encoder's weights."
        )


def _require_new(
    home: dict[tuple[Group, str], str], group: Group, keys: Iterable[str], file: Path
) -> None:
    for key in keys:
        if (other := home.setdefault((group, key), file.name)) != file.name:
            raise UnsafeCheckpointError(
                f'"{plain(key)}" is in two parts of {plain(file.parent)}, {plain(other)} and '
                f"{plain(file.name)}, and readers may take either: ask its author for the weights "
                "in one file."
            )
