"""The only reader of checkpoints. It executes no code in a file and does not guess.

    find the files (weight_files.py), then for each of them:
    open, refuse anything but a regular file -> sniff -> sha256 ->  (joined.py)
        safetensors:  read here (safetensors_file.py)
        npz, flax:    read here, without pickled arrays (npz_weights.py, msgpack_weights.py)
        torch:        read by a child process with limits (sandbox.py -> child.py):
                      zip walk and checksums (archive.py), pickle machine that builds descriptions
                      instead of objects (pickle_machine.py, torch_objects.py), plain containers of
                      it (plain_tree.py), walk through them (walk.py), values by position
                      (storages.py); folders of torch.distributed.checkpoint: dcp_folder.py

Unsafe loading cannot be enabled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor

from mimic_ray.base.text import plain
from mimic_ray.weight_files import sandbox, sniff
from mimic_ray.weight_files.array_files import READERS
from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.dcp_folder import read_dcp
from mimic_ray.weight_files.joined import Group, OpenedFile, Part, ReadFile, read_parts
from mimic_ray.weight_files.layout import LIMIT_BYTES, Layout, infos_of
from mimic_ray.weight_files.model_config import Config
from mimic_ray.weight_files.safetensors_file import read_safetensors
from mimic_ray.weight_files.tensor_info import TensorInfo, TensorInfos
from mimic_ray.weight_files.tensors import checked_infos
from mimic_ray.weight_files.weight_parts import WeightFiles

Groups = dict[Group, dict[str, Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a weight file. Keys are untrusted: show them through `base.text.plain`."""

    path: Path
    sha256: str
    format: str  # as in sniff.py, or "torch-distributed"; of parts in two formats, "A+B"
    groups: Groups  # path of dict keys inside the file -> its tensors; () is the top
    notes: dict[str, str]  # other content of the file as printable text: {"epoch": "160"}
    parts: tuple[Part, ...] = ()  # its files, in the order of their names
    config: Config = field(default_factory=dict)  # what config.json says: model_config.py
    contents: Contents = field(default_factory=Contents)
    infos: Mapping[Group, TensorInfos] | None = None  # also of tensors that `groups` lacks

    def layout(self) -> Layout:
        infos = self.infos or {path: checked_infos(group) for path, group in self.groups.items()}
        known = {**vars(self), "groups": infos}
        del known["infos"]
        return Layout(**known)


class _Stored(NamedTuple):
    """A tensor in a file; `values` is None if it is not plain and dense."""

    info: TensorInfo
    values: Tensor | None


def read_checkpoint(path: Path, limit_bytes: int = LIMIT_BYTES) -> Checkpoint:
    """All plain, dense tensors of a checkpoint, on the CPU. Those that share memory in a torch file
    are one tensor here.

    `path` is a safetensors or torch file, or what `find_files` takes: a folder, an index, a part.
    `limit_bytes` is for all files together. Raises the CheckpointError that names the cause: not a
    checkpoint, damaged, unsafe, too large.
    """
    path = Path(path)
    read = vars(read_parts(path, limit_bytes, _read_file, _read_folder))
    stored: dict[Group, dict[str, _Stored]] = read["groups"]
    groups = {
        path: {key: each.values for key, each in tensors.items() if each.values is not None}
        for path, tensors in stored.items()
    }
    infos = {
        path: {key: each.info for key, each in tensors.items()} for path, tensors in stored.items()
    }
    return Checkpoint(path, **{**read, "groups": groups}, infos=infos)


def _read_file(opened: OpenedFile) -> ReadFile[_Stored]:
    readers = {sniff.SAFETENSORS: _safetensors} | dict.fromkeys(READERS, _arrays)
    return readers.get(opened.format, _torch)(opened)


def _read_folder(whole: WeightFiles) -> tuple[ReadFile[_Stored], list[Part]]:
    found, parts = read_dcp(whole)
    groups = {
        path: {key: _Stored(*pair) for key, pair in tensors.items()}
        for path, tensors in found.groups.items()
    }
    return ReadFile(groups, found.notes, found.contents), parts


def _safetensors(opened: OpenedFile) -> ReadFile[_Stored]:
    tensors, metadata = read_safetensors(opened.file, opened.name)
    notes = {plain(key): plain(value) for key, value in metadata.items()}
    group = {key: _Stored(info, tensors[key]) for key, info in checked_infos(tensors).items()}
    return ReadFile({(): group} if group else {}, notes)


def _arrays(opened: OpenedFile) -> ReadFile[_Stored]:
    tensors, notes = READERS[opened.format](opened.file, opened.name)
    group = {key: _Stored(info, tensors[key]) for key, info in checked_infos(tensors).items()}
    return ReadFile({(): group} if group else {}, notes)


def _torch(opened: OpenedFile) -> ReadFile[_Stored]:
    with sandbox.working_folder() as folder:
        reply = sandbox.run("read", opened.file, folder, name=opened.name, format=opened.format)
        # The tensors stay mapped to our temporary file, whose space is freed with them.
        tensors = load_file(folder / sandbox.TENSORS)
    infos = infos_of(reply, opened)
    groups = {
        path: {key: _Stored(info, tensors.get(numbers.get(key, ""))) for key, info in group.items()}
        for (path, group), numbers in zip(infos.items(), reply["numbers"], strict=True)
    }
    return ReadFile(groups, reply["notes"], Contents.of(reply))
