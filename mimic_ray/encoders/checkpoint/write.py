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
from mimic_ray.encoders.checkpoint.weight_files import find_files

_TEXTS = {".json", ".txt"}
_TEXT_LIMIT_BYTES = 16 << 20


def write_like(original: Path, fit: Fit, state: Mapping[str, Tensor], destination: Path) -> None:
    """Writes `original` to `destination` with `state` (our keys) at the locations in `fit`.

    A checkpoint of several files becomes a folder of files with the same names, with the JSON and
    text files beside them, so that the library that wrote it loads it. `original` is read again, as
    safely as the first time; `destination` has either the old content or the complete new one.
    Raises a CheckpointError if `original` has changed.
    """
    found = find_files(original)
    new = savable({fit.keys[key]: tensor for key, tensor in state.items() if key in fit.keys})
    if found.folder is None:
        _write_file(found.files[0], fit, new, destination, is_part=False)
        return
    written: set[str] = set()
    with files.new_folder(destination) as unfinished:
        for file in found.files:
            is_part = len(found.files) > 1
            written |= _write_file(file, fit, new, unfinished / file.name, is_part)
        if written != new.keys():
            raise _changed(sniff.shown(original))
        _copy_texts(found.folder, unfinished)


def _write_file(
    original: Path, fit: Fit, new: Mapping[str, Tensor], destination: Path, is_part: bool
) -> set[str]:
    """Writes one file, which has all keys of `new` or `is_part`; returns those that it has."""
    name = sniff.shown(original)
    # Its size was checked when it was read.
    with sniff.opened(original, limit_bytes=1 << 62) as file:
        file_format = sniff.file_format(file, name)
        if file_format == sniff.SAFETENSORS:
            content, keys = _safetensors_like(file, name, fit, new)
        else:
            content, keys = _torch_like(file, name, file_format, fit, new, is_part)
    if not is_part and keys != new.keys():
        raise _changed(name)
    files.write_bytes(destination, content)
    return keys


def _safetensors_like(
    file: BufferedReader, name: str, fit: Fit, new: Mapping[str, Tensor]
) -> tuple[bytes, set[str]]:
    tensors, metadata = read_safetensors(file, name)
    keys = new.keys() & tensors.keys()
    for key in keys:
        resized = key in _resized(fit)
        tensors[key] = replacement(tensors[key], new[key], plain(key), name, resized)
    return save(savable(tensors), metadata or None), keys


def _torch_like(
    file: BufferedReader,
    name: str,
    file_format: str,
    fit: Fit,
    new: Mapping[str, Tensor],
    is_part: bool,
) -> tuple[bytes, set[str]]:
    with sandbox.working_folder() as folder:
        keys = set(new)
        if is_part:
            there = sandbox.run("describe", file, folder, name=name, format=file_format)
            found = {tuple(group["path"]): group["tensors"].keys() for group in there["groups"]}
            keys &= found.get(fit.group, set())
        numbers = {key: str(number) for number, key in enumerate(keys)}
        with files.disk_errors(folder / sandbox.TENSORS):
            save_file({numbers[key]: new[key] for key in keys}, folder / sandbox.TENSORS)
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
        return (folder / sandbox.WRITTEN).read_bytes(), keys


def _resized(fit: Fit) -> list[str]:
    """The file's keys of position embeddings that are written with another number of rows."""
    return [fit.keys[key] for key in fit.resized]


def _copy_texts(folder: Path, destination: Path) -> None:
    """config.json, the index and what else a library reads beside the weights; never code."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _TEXTS and path.is_file() and path.stat().st_size <= _TEXT_LIMIT_BYTES:
            files.write_bytes(destination / path.name, path.read_bytes())


def _changed(name: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name} has changed since it was read: restore the original file."
    )
