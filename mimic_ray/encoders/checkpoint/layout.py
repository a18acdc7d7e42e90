"""Names, shapes and types of the tensors in a weight file: enough to find the encoder that fits.

For a torch file this process imports no torch, because the sandbox reads and checks it. read.py
reads a complete checkpoint, with its values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint import sandbox, sniff
from mimic_ray.encoders.checkpoint.joined import Group as Group
from mimic_ray.encoders.checkpoint.joined import OpenedFile, Part, read_parts
from mimic_ray.encoders.checkpoint.model_config import Config

if TYPE_CHECKING:
    from torch import Tensor

LIMIT_BYTES = 16 << 30

Notes = dict[str, str]


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
    sha256: str  # of several files: joined.sha256_of
    format: str  # "safetensors", "torch-zip" or "torch-legacy"
    groups: Mapping[Group, TensorInfos]
    notes: dict[str, str]  # other content of the file as printable text: {"epoch": "160"}
    parts: tuple[Part, ...] = ()  # its files, in the order of their names
    config: Config = field(default_factory=dict)  # what config.json says: model_config.py


def infos(tensors: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    """Shapes and types of a state dict."""
    return {
        key: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for key, tensor in tensors.items()
    }


def read_layout(path: str | Path, limit_bytes: int = LIMIT_BYTES) -> Layout:
    """Checks a checkpoint as `read_checkpoint` does. Raises the CheckpointError that names the
    cause."""
    path = Path(path)
    found = read_parts(path, limit_bytes, _layout_of_file)
    return Layout(path, **vars(found))


def _layout_of_file(opened: OpenedFile) -> tuple[dict[Group, dict[str, TensorInfo]], Notes]:
    if opened.format != sniff.SAFETENSORS:
        return _described(opened)
    # Imported here because it imports torch, to check that all values are finite.
    from mimic_ray.encoders.checkpoint.safetensors_file import read_safetensors

    tensors, metadata = read_safetensors(opened.file, opened.name)
    notes = {plain(key): plain(value) for key, value in metadata.items()}
    return ({(): infos(tensors)} if tensors else {}), notes


def _described(opened: OpenedFile) -> tuple[dict[Group, dict[str, TensorInfo]], Notes]:
    with sandbox.working_folder() as folder:
        reply = sandbox.run("describe", opened.file, folder, name=opened.name, format=opened.format)
    groups = {
        tuple(group["path"]): {
            key: TensorInfo(tuple(shape), dtype) for key, (shape, dtype) in group["tensors"].items()
        }
        for group in reply["groups"]
    }
    return groups, reply["notes"]
