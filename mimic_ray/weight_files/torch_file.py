"""Reads what torch.save, torch.jit.save and pickle.dump wrote, without torch and without running
any of it.

A zip has the pickle in data.pkl and each storage in a record. TorchScript is a zip with code beside
data.pkl; the code is not read. Older files: legacy_file.py, torch_tar.py. A plain pickle has arrays
of numpy, or tensors with their bytes in it.

Runs only in the child process (see sandbox.py). There is no other way to read a torch file and no
switch, because an attacker chooses which error a file raises.
"""

from __future__ import annotations

import io
import mmap
from collections import Counter
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    NotACheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain
from mimic_ray.weight_files.archive import Archive, check_archive
from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.legacy_file import read_legacy
from mimic_ray.weight_files.pickle_machine import PickleError, run_pickle
from mimic_ray.weight_files.plain_tree import plain_tree
from mimic_ray.weight_files.sniff import PICKLE, TORCH_TAR, TORCH_ZIP
from mimic_ray.weight_files.storages import Storages
from mimic_ray.weight_files.torch_objects import TorchObjects
from mimic_ray.weight_files.torch_tar import TarObjects, member_starts, read_tar
from mimic_ray.weight_files.walk import walk


@dataclass(frozen=True)
class TorchContent:
    """The content of a torch file.

    `tree`: dictionaries, lists, tuples and plain values, with a TensorRef for each tensor.
    `changed`: the kinds of objects in the file that the tree has as plain values or not at all.
    `foreign`: what loading it the ordinary way would import and call, by kind.
    """

    tree: Any
    storages: Storages
    changed: Counter[str]
    foreign: dict[str, list[str]]


def load_torch(file: BufferedReader, name: str, file_format: str, size: int) -> TorchContent:
    """The content of a torch file, checked. Raises a CheckpointError for any bad bytes."""
    objects = TarObjects() if file_format == TORCH_TAR else TorchObjects()
    try:
        if file_format == TORCH_ZIP:
            content, storages = _of_zip(check_archive(file, name, size), objects)
        else:
            content, storages = _of_stream(file, name, file_format, objects)
        storages.check(objects.storages)
        # A file that has tensors, too, can be loaded with weights_only=True if it has no arrays.
        keep_arrays = file_format == PICKLE or not objects.storages
        tree, changed = plain_tree(content, name, keep_arrays)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # untrusted bytes can raise anything
        reason = plain(str(error) or type(error).__name__)
        raise DamagedCheckpointError(
            f"{name} is damaged ({reason}): download or copy it again."
        ) from error
    if file_format == PICKLE and not walk(tree).groups:
        raise _not_of_torch(objects, name)
    return TorchContent(tree, storages, changed, objects.foreign.findings())


def _of_zip(archive: Archive, objects: TorchObjects) -> tuple[Any, Storages]:
    if archive.small("byteorder", b"little") != b"little":
        raise PickleError("it was written by a machine of the other byte order")
    content = run_pickle(io.BytesIO(archive.small("data.pkl")), objects)
    spans = {
        record.removeprefix("data/"): span
        for record, span in archive.spans.items()
        if record.startswith("data/")
    }
    return content, Storages(archive.descriptor, spans)


def _of_stream(
    file: BufferedReader, name: str, file_format: str, objects: TorchObjects
) -> tuple[Any, Storages]:
    # Mapped, because the pickles stand at the start of a large file.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        if isinstance(objects, TarObjects):
            content, spans = read_tar(stream, member_starts(file, name), objects)
        elif file_format == PICKLE:
            content, spans = run_pickle(stream, objects), {}
        else:
            content, spans = read_legacy(stream, objects)
    return content, Storages(file.fileno(), spans)


def _not_of_torch(objects: TorchObjects, name: str) -> CheckpointError:
    found = Contents.of_names(objects.foreign.findings())
    problem = f"{name} is a pickle that torch.save did not write"
    if found.commands:
        return UnsafeCheckpointError(
            f"{problem}. {found.finding()} Nothing in it was run. Do not load it with other "
            "programs."
        )
    return NotACheckpointError(f"{problem}: save its weights with torch.save or safetensors.")
