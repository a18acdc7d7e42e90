"""The one reader of every checkpoint. Nothing in a file is ever executed, and nothing is guessed.

    open, refuse what is no regular file -> sniff -> sha256 ->
        safetensors:  read here (safetensors_file.py)
        torch:        read by a child process with limits (sandbox.py -> child.py):
                      zip walk and checksums (archive.py), torch.load weights-only (torch_file.py),
                      walk of what came out (walk.py), each tensor checked (tensors.py)

There is no switch for unsafe loading.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from mimic_ray.base.errors import NotACheckpointError
from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint import sandbox, sniff
from mimic_ray.encoders.checkpoint.safetensors_file import read_safetensors

Groups = dict[tuple[str, ...], dict[str, Tensor]]


@dataclass(frozen=True)
class Checkpoint:
    """What a weight file holds. Keys are the stranger's: show them through `base.text.plain`."""

    path: Path
    sha256: str
    format: str  # "safetensors", "torch-zip" or "torch-legacy"
    groups: Groups  # path of dict keys inside the file -> its tensors; () is the top
    notes: dict[str, str]  # what else is in the file, in printable words: {"epoch": "160"}


def read_checkpoint(path: Path, limit_bytes: int = 16 << 30) -> Checkpoint:
    """All plain, dense, finite tensors of a safetensors or torch file, on the CPU.

    Raises the CheckpointError that names the cause: not a checkpoint, damaged, unsafe, too large.
    """
    path = Path(path)
    name = sniff.shown(path)
    with sniff.opened(path, limit_bytes) as file:
        file_format = sniff.file_format(file, name)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if file_format == sniff.SAFETENSORS:
            groups, notes = _safetensors(file, name)
        else:
            groups, notes = _torch(file, name, file_format)
    if not groups:
        raise NotACheckpointError(
            f"{name} holds no tensor under a name: save the network's state_dict()."
        )
    return Checkpoint(path, digest, file_format, groups, notes)


def _safetensors(file: BufferedReader, name: str) -> tuple[Groups, dict[str, str]]:
    tensors, metadata = read_safetensors(file, name)
    notes = {plain(key): plain(value) for key, value in metadata.items()}
    return ({(): tensors} if tensors else {}), notes


def _torch(file: BufferedReader, name: str, file_format: str) -> tuple[Groups, dict[str, str]]:
    with sandbox.working_folder() as folder:
        reply = sandbox.run("read", file, folder, name=name, format=file_format)
        if not reply["groups"]:
            return {}, reply["notes"]
        # The tensors stay mapped to the file; it is ours, and its space is freed with them.
        tensors = load_file(folder / sandbox.TENSORS)
    groups = {
        tuple(group["path"]): {key: tensors[number] for key, number in group["tensors"].items()}
        for group in reply["groups"]
    }
    return groups, reply["notes"]
