"""The files of a checkpoint, found from what the user named.

a file                                   that file
a folder                                 folder_search.py
model.safetensors.index.json             every part that it lists
model-00001-of-00003.safetensors         every part, by the index beside it or by the numbers
__0_0.distcp, .metadata                  the folder of torch.distributed.checkpoint
"""

from __future__ import annotations

from pathlib import Path

from mimic_ray.weight_files.folder_search import DISTCP, METADATA, require_whole, search
from mimic_ray.weight_files.weight_parts import (
    PART,
    WeightFiles,
    by_index,
    by_numbers,
    is_index,
)


def find_files(path: Path) -> WeightFiles:
    """The files of the checkpoint at `path`, which may be missing if it is a single file.

    Raises NotACheckpointError and its kin, which say what lies there and what to give instead.
    """
    try:
        if path.is_dir():
            return search(path)
    except (OSError, ValueError):  # a loop of links, a zero byte: opening the file says so
        return WeightFiles((path,))
    if is_index(path.name):
        return by_index(path)
    if path.name == METADATA or path.suffix == DISTCP:
        return search(path.parent)
    if part := PART.fullmatch(path.name):
        index = path.with_name(f"{part['stem']}{part['suffix']}.index.json")
        return by_index(index) if index.exists() else by_numbers(path)
    require_whole(path)
    return WeightFiles((path,))
