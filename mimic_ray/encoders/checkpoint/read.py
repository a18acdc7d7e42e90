"""The only reader of checkpoints. It executes no code in a file and does not guess.

    open, refuse anything but a regular file -> sniff -> sha256 ->  (layout.py)
        safetensors:  read here (safetensors_file.py)
        torch:        read by a child process with limits (sandbox.py -> child.py):
                      zip walk and checksums (archive.py), torch.load weights-only (torch_file.py),
                      walk through the result (walk.py), check of each tensor (tensors.py)

There is no switch for unsafe loading.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint import sandbox, sniff
from mimic_ray.encoders.checkpoint.layout import (
    LIMIT_BYTES,
    Group,
    Layout,
    infos,
    opened_weights,
    require_tensors,
)
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

    def layout(self) -> Layout:
        groups = {path: infos(tensors) for path, tensors in self.groups.items()}
        return Layout(self.path, self.sha256, self.format, groups, self.notes)


def read_checkpoint(path: Path, limit_bytes: int = LIMIT_BYTES) -> Checkpoint:
    """All plain, dense, finite tensors of a safetensors or torch file, on the CPU.

    Raises the CheckpointError that names the cause: not a checkpoint, damaged, unsafe, too large.
    """
    path = Path(path)
    with opened_weights(path, limit_bytes) as opened:
        if opened.format == sniff.SAFETENSORS:
            groups, notes = _safetensors(opened.file, opened.name)
        else:
            groups, notes = _torch(opened.file, opened.name, opened.format)
    require_tensors(groups, opened.name)
    return Checkpoint(path, opened.sha256, opened.format, groups, notes)


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
