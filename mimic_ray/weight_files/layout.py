"""Names, shapes and types of the tensors in a weight file: enough to find the encoder that fits.

For a torch file this process imports no torch, because the sandbox reads and checks it. read.py
reads a complete checkpoint, with its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.weight_files import sandbox, sniff
from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.joined import Group as Group
from mimic_ray.weight_files.joined import OpenedFile, Part, ReadFile, read_parts
from mimic_ray.weight_files.model_config import Config
from mimic_ray.weight_files.tensor_info import TensorInfo, TensorInfos
from mimic_ray.weight_files.weight_parts import WeightFiles

LIMIT_BYTES = 16 << 30


@dataclass(frozen=True)
class Layout:
    """A checked weight file without its values. Keys are untrusted: show them through `plain`."""

    path: Path
    sha256: str  # of several files: joined.sha256_of
    format: str  # as in sniff.py, or "torch-distributed"; of parts in two formats, "A+B"
    groups: Mapping[Group, TensorInfos]
    notes: dict[str, str]  # other content of the file as printable text: {"epoch": "160"}
    parts: tuple[Part, ...] = ()  # its files, in the order of their names
    config: Config = field(default_factory=dict)  # what config.json says: model_config.py
    contents: Contents = field(default_factory=Contents)


def read_layout(path: str | Path, limit_bytes: int = LIMIT_BYTES) -> Layout:
    """Checks a checkpoint as `read_checkpoint` does. Raises the CheckpointError that names the
    cause."""
    path = Path(path)
    found = read_parts(path, limit_bytes, _layout_of_file, _layout_of_folder)
    return Layout(path, **vars(found))


def _layout_of_file(opened: OpenedFile) -> ReadFile[TensorInfo]:
    if opened.format in (sniff.NPZ, sniff.FLAX):
        # Imported here because it imports torch, to check the values.
        from mimic_ray.weight_files.array_files import READERS
        from mimic_ray.weight_files.tensors import checked_infos

        arrays, notes = READERS[opened.format](opened.file, opened.name)
        return ReadFile({(): checked_infos(arrays)} if arrays else {}, notes)
    if opened.format != sniff.SAFETENSORS:
        with sandbox.working_folder() as folder:
            reply = sandbox.run(
                "describe", opened.file, folder, name=opened.name, format=opened.format
            )
        return ReadFile(infos_of(reply, opened), reply["notes"], Contents.of(reply))
    from mimic_ray.weight_files.safetensors_file import read_safetensors
    from mimic_ray.weight_files.tensors import checked_infos

    tensors, metadata = read_safetensors(opened.file, opened.name)
    notes = {plain(key): plain(value) for key, value in metadata.items()}
    return ReadFile({(): checked_infos(tensors)} if tensors else {}, notes)


def _layout_of_folder(whole: WeightFiles) -> tuple[ReadFile[TensorInfo], list[Part]]:
    from mimic_ray.weight_files.dcp_folder import read_dcp

    found, parts = read_dcp(whole)
    groups = {
        path: {key: info for key, (info, _) in tensors.items()}
        for path, tensors in found.groups.items()
    }
    return ReadFile(groups, found.notes, found.contents), parts


def infos_of(reply: Mapping[str, Any], opened: OpenedFile) -> dict[Group, dict[str, TensorInfo]]:
    """The tensors in a reply of the child process that read the file."""
    return {
        tuple(group["path"]): {
            key: TensorInfo(tuple(shape), dtype, wrong, f"{memory} of {opened.name}")
            for key, (shape, dtype, wrong, memory) in group["tensors"].items()
        }
        for group in reply["groups"]
    }
