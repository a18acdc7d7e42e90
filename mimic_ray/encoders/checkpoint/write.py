"""Writes a copy of a weight file with the encoder's weights replaced, for unchanged user code.

Container, wrapper, prefix, key order, precision and all other content stay the same: epoch,
optimizer, heads, and other copies of the encoder (`Fit.also_fits`), which keep their weights.
Interpolated position embeddings (`Fit.resized`) are written in the size of the student.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

from safetensors.torch import save, save_file
from torch import Tensor

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint import sandbox, sniff
from mimic_ray.encoders.checkpoint.resolve import Fit
from mimic_ray.encoders.checkpoint.safetensors_file import read_safetensors
from mimic_ray.encoders.checkpoint.tensors import replacement, savable


def write_like(original: Path, fit: Fit, state: Mapping[str, Tensor], destination: Path) -> None:
    """Writes `original` to `destination` with `state` (our keys) at the locations in `fit`.

    `original` is read again, as safely as the first time; `destination` has either the old content
    or the complete new one. Raises a CheckpointError if `original` has changed.
    """
    name = sniff.shown(original)
    new = savable({fit.keys[key]: tensor for key, tensor in state.items() if key in fit.keys})
    # Its size was checked when it was read.
    with sniff.opened(original, limit_bytes=1 << 62) as file:
        file_format = sniff.file_format(file, name)
        if file_format == sniff.SAFETENSORS:
            content = _safetensors_like(file, name, fit, new)
        else:
            content = _torch_like(file, name, file_format, fit, new)
    files.write_bytes(destination, content)


def _safetensors_like(
    file: BufferedReader, name: str, fit: Fit, new: Mapping[str, Tensor]
) -> bytes:
    tensors, metadata = read_safetensors(file, name)
    if not new.keys() <= tensors.keys():
        raise DamagedCheckpointError(
            f"{name} has changed since it was read: restore the original file."
        )
    for key, tensor in new.items():
        resized = key in _resized(fit)
        tensors[key] = replacement(tensors[key], tensor, plain(key), name, resized)
    return save(savable(tensors), metadata or None)


def _torch_like(
    file: BufferedReader, name: str, file_format: str, fit: Fit, new: Mapping[str, Tensor]
) -> bytes:
    numbers = {key: str(number) for number, key in enumerate(new)}
    with sandbox.working_folder() as folder:
        with files.disk_errors(folder / sandbox.TENSORS):
            save_file({numbers[key]: new[key] for key in new}, folder / sandbox.TENSORS)
        sandbox.run(
            "write",
            file,
            folder,
            name=name,
            format=file_format,
            group=fit.group,
            keys=numbers,
            resized=_resized(fit),
        )
        return (folder / sandbox.WRITTEN).read_bytes()


def _resized(fit: Fit) -> list[str]:
    """The file's keys of position embeddings that are written with another number of rows."""
    return [fit.keys[key] for key in fit.resized]
