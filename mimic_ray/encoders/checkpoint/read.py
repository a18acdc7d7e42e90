"""The only reader of checkpoints. It executes no code in a file and does not guess.

    find the files (weight_files.py), then for each of them:
    open, refuse anything but a regular file -> sniff -> sha256 ->  (joined.py)
        safetensors:  read here (safetensors_file.py)
        torch:        read by a child process with limits (sandbox.py -> child.py):
                      zip walk and checksums (archive.py), torch.load weights-only (torch_file.py),
                      walk through the result (walk.py), check of each tensor (tensors.py)

There is no switch for unsafe loading.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint import sandbox, sniff
from mimic_ray.encoders.checkpoint.joined import Group, OpenedFile, Part, read_parts
from mimic_ray.encoders.checkpoint.layout import LIMIT_BYTES, Layout, infos
from mimic_ray.encoders.checkpoint.model_config import Config
from mimic_ray.encoders.checkpoint.safetensors_file import read_safetensors

Groups = dict[Group, dict[str, Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a weight file. Keys are untrusted: show them through `base.text.plain`."""

    path: Path
    sha256: str
    format: str  # "safetensors", "torch-zip" or "torch-legacy"
    groups: Groups  # path of dict keys inside the file -> its tensors; () is the top
    notes: dict[str, str]  # other content of the file as printable text: {"epoch": "160"}
    parts: tuple[Part, ...] = ()  # its files, in the order of their names
    config: Config = field(default_factory=dict)  # what config.json says: model_config.py

    def layout(self) -> Layout:
        groups = {path: infos(tensors) for path, tensors in self.groups.items()}
        return Layout(**{**vars(self), "groups": groups})


def read_checkpoint(path: Path, limit_bytes: int = LIMIT_BYTES) -> Checkpoint:
    """All plain, dense, finite tensors of a checkpoint, on the CPU.

    `path` is a safetensors or torch file, or what `find_files` takes: a folder, an index, a part.
    `limit_bytes` is for all files together. Raises the CheckpointError that names the cause: not a
    checkpoint, damaged, unsafe, too large.
    """
    path = Path(path)
    return Checkpoint(path, **vars(read_parts(path, limit_bytes, _read_file)))


def _read_file(opened: OpenedFile) -> tuple[Groups, dict[str, str]]:
    if opened.format == sniff.SAFETENSORS:
        return _safetensors(opened.file, opened.name)
    return _torch(opened.file, opened.name, opened.format)


def _safetensors(file: BufferedReader, name: str) -> tuple[Groups, dict[str, str]]:
    tensors, metadata = read_safetensors(file, name)
    notes = {plain(key): plain(value) for key, value in metadata.items()}
    return ({(): tensors} if tensors else {}), notes


def _torch(file: BufferedReader, name: str, file_format: str) -> tuple[Groups, dict[str, str]]:
    with sandbox.working_folder() as folder:
        reply = sandbox.run("read", file, folder, name=name, format=file_format)
        if not reply["groups"]:
            return {}, reply["notes"]
        # The tensors stay mapped to our temporary file, whose space is freed with them.
        tensors = load_file(folder / sandbox.TENSORS)
    groups = {
        tuple(group["path"]): {key: tensors[number] for key, number in group["tensors"].items()}
        for group in reply["groups"]
    }
    return groups, reply["notes"]
