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
from mimic_ray.weight_files import sandbox, sniff
from mimic_ray.weight_files.array_files import WRITERS
from mimic_ray.weight_files.dcp_folder import write_dcp
from mimic_ray.weight_files.file_search import find_files
from mimic_ray.weight_files.located_weights import Copy
from mimic_ray.weight_files.resolve import Fit, StoredKey
from mimic_ray.weight_files.safetensors_file import read_safetensors
from mimic_ray.weight_files.tensors import replacement, savable

_TEXTS = {".json", ".txt"}
_TEXT_LIMIT_BYTES = 16 << 20

New = Mapping[StoredKey, Tensor]


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
    copies: list[Copy] = [fit, *(fit.copies if all_copies else [])]
    new = savable(
        {stored: tensor for copy in copies for stored, tensor in fit.in_file(copy, state).items()}
    )
    resized = {(copy.group, copy.keys[ours]) for copy in copies for ours in fit.resized}
    if found.folder is None:
        _write_file(found.files[0], new, resized, destination, is_part=False)
        return
    written: set[StoredKey] = set()
    with files.new_folder(destination) as unfinished:
        if found.is_dcp:
            written |= write_dcp(found, new, resized, unfinished)
        for file in () if found.is_dcp else found.files:
            is_part = len(found.files) > 1
            written |= _write_file(file, new, resized, unfinished / file.name, is_part)
        if written != new.keys():
            raise _changed(sniff.shown(original))
        _copy_texts(found.folder, unfinished)


def _write_file(
    original: Path, new: New, resized: set[StoredKey], destination: Path, is_part: bool
) -> set[StoredKey]:
    """Writes one file, which has all keys of `new` or `is_part`; returns those that it has."""
    name = sniff.shown(original)
    # Its size was checked when it was read.
    with sniff.opened(original, limit_bytes=1 << 62) as file:
        file_format = sniff.file_format(file, name)
        if file_format == sniff.SAFETENSORS:
            content, written = _safetensors_like(file, name, new, resized)
        elif file_format in WRITERS:
            by_key = {key: tensor for (_, key), tensor in new.items()}
            keys_of_resized = {key for _, key in resized}
            content, keys = WRITERS[file_format](file, name, by_key, keys_of_resized)
            written = {((), key) for key in keys}
        else:
            content, written = _torch_like(file, name, file_format, new, resized, is_part)
    if not is_part and written != new.keys():
        raise _changed(name)
    files.write_bytes(destination, content)
    return written


def _safetensors_like(
    file: BufferedReader, name: str, new: New, resized: set[StoredKey]
) -> tuple[bytes, set[StoredKey]]:
    tensors, metadata = read_safetensors(file, name)
    written: set[StoredKey] = set()
    for stored, tensor in new.items():
        key = stored[1]
        if key in tensors:
            tensors[key] = replacement(tensors[key], tensor, plain(key), name, stored in resized)
            written.add(stored)
    return save(savable(tensors), metadata or None), written


def _torch_like(
    file: BufferedReader,
    name: str,
    file_format: str,
    new: New,
    resized: set[StoredKey],
    is_part: bool,
) -> tuple[bytes, set[StoredKey]]:
    with sandbox.working_folder() as folder:
        written = {*new}
        if is_part:
            there = sandbox.run("describe", file, folder, name=name, format=file_format)
            written &= {
                (tuple(group["path"]), key) for group in there["groups"] for key in group["tensors"]
            }
        numbers = {stored: str(number) for number, stored in enumerate(new)}
        with files.disk_errors(folder / sandbox.TENSORS):
            save_file({numbers[stored]: new[stored] for stored in new}, folder / sandbox.TENSORS)
        sandbox.run(
            "write",
            file,
            folder,
            name=name,
            format=file_format,
            targets=[
                {
                    "group": group,
                    "keys": {key: numbers[group, key] for own, key in written if own == group},
                    "resized": [key for own, key in resized if own == group],
                }
                for group in {group for group, _ in written}
            ],
        )
        return (folder / sandbox.WRITTEN).read_bytes(), written


def _copy_texts(folder: Path, destination: Path) -> None:
    """config.json, the index and what else a library reads beside the weights; never code.

    Nor what a link leads to elsewhere, which may be a secret of the user's. In the cache of Hugging
    Face, files are links to the folder blobs beside the snapshots.
    """
    allowed = [folder.resolve()]
    if folder.parent.name == "snapshots":
        allowed.append(folder.parent.parent.resolve() / "blobs")
    for path in sorted(folder.iterdir()):
        if not any(path.resolve().is_relative_to(each) for each in allowed):
            continue
        if path.suffix in _TEXTS and path.is_file() and path.stat().st_size <= _TEXT_LIMIT_BYTES:
            files.write_bytes(destination / path.name, path.read_bytes())


def _changed(name: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{name} has changed since it was read: restore the original file."
    )
