"""Names, shapes and types of the tensors in a weight file: enough to find the encoder that fits.

For a torch file this process imports no torch, because the sandbox reads and checks it. read.py
reads a complete checkpoint, with its values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base.errors import NotACheckpointError
from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint import sandbox, sniff

if TYPE_CHECKING:
    from torch import Tensor

LIMIT_BYTES = 16 << 30

Group = tuple[str, ...]  # keys of nested dictionaries that lead to some tensors; () is the top


@dataclass(frozen=True)
class TensorInfo:
    """Shape and type of one tensor; `dtype` as in "float32"."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith(("float", "bfloat"))

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


TensorInfos = Mapping[str, TensorInfo]


@dataclass(frozen=True)
class Layout:
    """A checked weight file without its values. Keys are untrusted: show them through `plain`."""

    path: Path
    sha256: str
    format: str  # "safetensors", "torch-zip" or "torch-legacy"
    groups: Mapping[Group, TensorInfos]
    notes: dict[str, str]  # other content of the file as printable text: {"epoch": "160"}


@dataclass(frozen=True)
class OpenedFile:
    """A regular file that looks like weights."""

    file: BufferedReader
    name: str
    format: str
    sha256: str


def infos(tensors: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    """Shapes and types of a state dict."""
    return {
        key: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for key, tensor in tensors.items()
    }


def read_layout(path: str | Path, limit_bytes: int = LIMIT_BYTES) -> Layout:
    """Checks a file as `read_checkpoint` does. Raises the CheckpointError that names the cause."""
    path = Path(path)
    with opened_weights(path, limit_bytes) as opened:
        if opened.format == sniff.SAFETENSORS:
            # Imported here because it imports torch, to check that all values are finite.
            from mimic_ray.encoders.checkpoint.safetensors_file import read_safetensors

            tensors, metadata = read_safetensors(opened.file, opened.name)
            groups: dict[Group, TensorInfos] = {(): infos(tensors)} if tensors else {}
            notes = {plain(key): plain(value) for key, value in metadata.items()}
        else:
            groups, notes = _described(opened)
    require_tensors(groups, opened.name)
    return Layout(path, opened.sha256, opened.format, groups, notes)


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


def require_tensors(groups: Mapping[Group, object], name: str) -> None:
    """Raises NotACheckpointError for a file without any."""
    if not groups:
        raise NotACheckpointError(
            f"{name} contains no named tensors: save the network's state_dict()."
        )


def _described(opened: OpenedFile) -> tuple[dict[Group, TensorInfos], dict[str, str]]:
    with sandbox.working_folder() as folder:
        reply = sandbox.run("describe", opened.file, folder, name=opened.name, format=opened.format)
    groups: dict[Group, TensorInfos] = {
        tuple(group["path"]): {
            key: TensorInfo(tuple(shape), dtype) for key, (shape, dtype) in group["tensors"].items()
        }
        for group in reply["groups"]
    }
    return groups, reply["notes"]
