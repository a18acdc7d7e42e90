"""Writes a copy of a weight file with the encoder's weights replaced, for unchanged user code.

Container, wrapper, prefix, key order, precision and all other content stay the same: epoch,
optimizer, heads, and other copies of the encoder (`Fit.copies`), which keep their weights unless
all copies are to be written. Interpolated position embeddings (`Fit.resized`) are written in the
size of the student. Python objects of the file are not written again (plain_tree.py);
`Contents.losses` names them.
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
from mimic_ray.encoders.checkpoint.joined import Group
from mimic_ray.encoders.checkpoint.key_match import Copy
from mimic_ray.encoders.checkpoint.resolve import Fit
from mimic_ray.encoders.checkpoint.safetensors_file import read_safetensors
from mimic_ray.encoders.checkpoint.tensors import replacement, savable
from mimic_ray.encoders.checkpoint.weight_files import find_files

_TEXTS = {".json", ".txt"}
_TEXT_LIMIT_BYTES = 16 << 20


Places = set[tuple[Group, str]]  # groups and keys in a file


def write_like(
    original: Path,
    fit: Fit,
    state: Mapping[str, Tensor],
    destination: Path,
    all_copies: bool = False,
) -> None:
    """Writes `original` to `destination` with `state` (our keys) at the locations in `fit`.

    A checkpoint of several files becomes a folder of files with the same names, with the JSON and
    text files beside them, so that the library that wrote it loads it. `original` is read again, as
    safely as the first time; `destination` has either the old content or the complete new one.
    Raises a CheckpointError if `original` has changed.
    """
    found = find_files(original)
    new = savable({key: tensor for key, tensor in state.items() if key in fit.keys})
    copies = [Copy(fit.group, fit.prefix, fit.keys), *(fit.copies if all_copies else [])]
    if found.folder is None:
        _write_file(found.files[0], fit, copies, new, destination, is_part=False)
        return
    written: Places = set()
    with files.new_folder(destination) as unfinished:
        for file in found.files:
            is_part = len(found.files) > 1
            written |= _write_file(file, fit, copies, new, unfinished / file.name, is_part)
        if written != _places(copies):
            raise _changed(sniff.shown(original))
        _copy_texts(found.folder, unfinished)


def _places(copies: list[Copy]) -> Places:
    return {(copy.group, key) for copy in copies for key in copy.keys.values()}


def _write_file(
    original: Path,
    fit: Fit,
    copies: list[Copy],
    new: Mapping[str, Tensor],
    destination: Path,
    is_part: bool,
) -> Places:
    """Writes one file, which has all keys of `copies` or `is_part`; returns those that it has."""
    name = sniff.shown(original)
    # Its size was checked when it was read.
    with sniff.opened(original, limit_bytes=1 << 62) as file:
        file_format = sniff.file_format(file, name)
        if file_format == sniff.SAFETENSORS:
            content, written = _safetensors_like(file, name, fit, copies, new)
        else:
            content, written = _torch_like(file, name, file_format, fit, copies, new, is_part)
    if not is_part and written != _places(copies):
        raise _changed(name)
    files.write_bytes(destination, content)
    return written


def _safetensors_like(
    file: BufferedReader, name: str, fit: Fit, copies: list[Copy], new: Mapping[str, Tensor]
) -> tuple[bytes, Places]:
    tensors, metadata = read_safetensors(file, name)
    written: Places = set()
    for copy in copies:
        for ours, key in copy.keys.items():
            if key in tensors:
                resized = ours in fit.resized
                tensors[key] = replacement(tensors[key], new[ours], plain(key), name, resized)
                written.add((copy.group, key))
    return save(savable(tensors), metadata or None), written


def _torch_like(
    file: BufferedReader,
    name: str,
    file_format: str,
    fit: Fit,
    copies: list[Copy],
    new: Mapping[str, Tensor],
    is_part: bool,
) -> tuple[bytes, Places]:
    with sandbox.working_folder() as folder:
        written = _places(copies)
        if is_part:
            there = sandbox.run("describe", file, folder, name=name, format=file_format)
            written &= {
                (tuple(group["path"]), key) for group in there["groups"] for key in group["tensors"]
            }
        numbers = {ours: str(number) for number, ours in enumerate(new)}
        with files.disk_errors(folder / sandbox.TENSORS):
            save_file({numbers[ours]: new[ours] for ours in new}, folder / sandbox.TENSORS)
        sandbox.run(
            "write",
            file,
            folder,
            name=name,
            format=file_format,
            places=[
                {
                    "group": copy.group,
                    "keys": {
                        key: numbers[ours]
                        for ours, key in copy.keys.items()
                        if (copy.group, key) in written
                    },
                    "resized": [copy.keys[ours] for ours in fit.resized],
                }
                for copy in copies
            ],
        )
        return (folder / sandbox.WRITTEN).read_bytes(), written


def _copy_texts(folder: Path, destination: Path) -> None:
    """config.json, the index and what else a library reads beside the weights; never code."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _TEXTS and path.is_file() and path.stat().st_size <= _TEXT_LIMIT_BYTES:
            files.write_bytes(destination / path.name, path.read_bytes())


def _changed(name: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name} has changed since it was read: restore the original file."
    )
