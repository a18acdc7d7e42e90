"""Finds the checkpoint in a folder: of the Hugging Face hub, FSDP, DeepSpeed, or one weight file.

    a folder of torch.distributed.checkpoint    .metadata and *.distcp
    a folder of DeepSpeed                       `latest` or mp_rank_00_model_states.pt
    a standard name                             the first of STANDARD, in parts or whole
    another weight file                         if it is the only one
    a folder with one of these                  if it is the only one

Anything else is refused with what lies there. Nothing is opened but `latest`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from mimic_ray.base.errors import MimicError, MissingCheckpointError, NotACheckpointError
from mimic_ray.base.text import count, plain
from mimic_ray.weight_files import foreign, sniff
from mimic_ray.weight_files.weight_parts import (
    WeightFiles,
    by_index,
    by_numbers,
    is_index,
    part_of,
)

METADATA, DISTCP = ".metadata", ".distcp"

# The names that libraries look for in a folder, in the order that transformers and timm prefer.
STANDARD = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "flax_model.msgpack",
)
WEIGHT_SUFFIXES = (
    ".safetensors",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".pth.tar",
    ".pt.tar",
    ".th",
    ".t7",
)
# Read where nothing else lies there, because they are rarely weights.
_UNLIKELY = (".npz", ".msgpack", ".pkl", ".pickle", ".tar")
# What trainers save beside the weights.
_NO_WEIGHTS = re.compile(
    r"(optimizer|scheduler|scaler|rng_state|random_states|training_args|sampler|dataloader)[\w.-]*"
)
# Files that describe the network in a folder of the Hugging Face hub.
CONFIGS = ("config.json", "open_clip_config.json")
_MODEL_STATES = re.compile(r"mp_rank_\d+_model_states\.pt")
_OPTIMIZER_STATES = re.compile(r".*zero_pp_rank_\d+_mp_rank_\d+_optim_states\.pt")
_ZERO_STATES = re.compile(r"zero_pp_rank_\d+_mp_rank_\d+_model_states\.pt")
ENTRY_LIMIT = 100_000


def search(folder: Path) -> WeightFiles:
    """The one checkpoint in `folder`. Raises NotACheckpointError with what lies there instead."""
    found = _find(folder)
    if found is None:
        raise _nothing(folder)
    return found


def holds_weights(folder: Path) -> bool:
    """Whether there is a checkpoint, complete or not, in the folder or in one below."""
    try:
        return _find(folder) is not None
    except MimicError:
        return True


def _find(folder: Path) -> WeightFiles | None:
    if (found := _directly_in(folder)) is not None:
        return found
    below = [folder / name for name in _names(folder, folders=True)]
    there = {each: _directly_in(each) for each in below if not _NO_WEIGHTS.fullmatch(each.name)}
    holding = {each.name: found for each, found in there.items() if found is not None}
    if len(holding) > 1:
        raise _several(folder, [f"{name}/" for name in holding])
    return next(iter(holding.values()), None)


def _directly_in(folder: Path) -> WeightFiles | None:
    names = _names(folder)
    if METADATA in names or any(name.endswith(DISTCP) for name in names):
        return _distributed(folder, names)
    if (deepspeed := _deepspeed(folder, names)) is not None:
        return deepspeed
    sets = _sets(folder, names)
    standard = [name for name in STANDARD if name in sets]
    likely = [name for name in sets if name.lower().endswith(WEIGHT_SUFFIXES)]
    chosen = standard[:1] or likely or [*sets]
    if not chosen:
        return None
    if len(chosen) > 1:
        raise _several(folder, chosen)
    found = sets[chosen[0]]()
    if found.folder is None and not set(CONFIGS).isdisjoint(names):
        found = replace(found, folder=folder)
    others = sorted({*standard, *likely} - {chosen[0]})
    notes = {"also in the folder": plain(f"{', '.join(others)}: not read")} if others else {}
    return replace(found, notes=notes)


def _sets(folder: Path, names: list[str]) -> dict[str, Callable[[], WeightFiles]]:
    """Name of the whole -> its files: of single files, of indexes and of parts without an index."""
    sets: dict[str, Callable[[], WeightFiles]] = {}
    for name in names:
        single = name.lower().endswith((*WEIGHT_SUFFIXES, *_UNLIKELY)) and not part_of(name)
        if single and not _no_weights(name):
            sets[name] = partial(WeightFiles, (folder / name,))
    for name in filter(is_index, names):
        sets.setdefault(name.removesuffix(".index.json"), partial(by_index, folder / name))
    for name in names:
        if (whole := part_of(name)) and not _no_weights(name):
            sets.setdefault(whole, partial(by_numbers, folder / name))
    return sets


def _no_weights(name: str) -> bool:
    return bool(_NO_WEIGHTS.fullmatch(name) or _OPTIMIZER_STATES.fullmatch(name))


def _deepspeed(folder: Path, names: list[str]) -> WeightFiles | None:
    """The weights in a folder that DeepSpeed saved: `latest` names the step's folder in it."""
    with suppress(MimicError), sniff.opened(folder / "latest", 4096) as file:
        step = file.read().decode(errors="replace").strip()
        # Any folder may have a file called `latest`: DeepSpeed's names a folder beside it.
        if step == Path(step).name and "\0" not in step and (folder / step).is_dir():
            folder, names = folder / step, _names(folder / step)
    for name in names:
        if _ZERO_STATES.fullmatch(name):
            require_whole(folder / name)
    ranks = [name for name in names if _MODEL_STATES.fullmatch(name)]
    if len(ranks) > 1:
        raise NotACheckpointError(
            f"{plain(folder)} holds a network that DeepSpeed split over {len(ranks)} devices "
            f"({ranks[0]} ...): merge its parts with the code that trained it, and give the "
            "merged state_dict()."
        )
    return WeightFiles((folder / ranks[0],)) if ranks else None


def require_whole(path: Path) -> None:
    """Raises NotACheckpointError for a file of DeepSpeed that holds a part of every weight."""
    if _ZERO_STATES.fullmatch(path.name):
        raise NotACheckpointError(
            f"{plain(path)} is of a ZeRO-3 run of DeepSpeed, which splits every weight over all "
            "its files: merge them with `python -m deepspeed.utils.zero_to_fp32 FOLDER OUT`, "
            "FOLDER the one with the file `latest`, and give OUT. This unpickles the files, "
            "which may run code in them: do it in a container."
        )
    if _OPTIMIZER_STATES.fullmatch(path.name):
        raise NotACheckpointError(
            f"{plain(path)} is the state of DeepSpeed's optimizer: give the weights beside it, "
            "mp_rank_00_model_states.pt."
        )


def _distributed(folder: Path, names: list[str]) -> WeightFiles:
    if METADATA not in names:
        raise MissingCheckpointError(
            f"{plain(folder)} has files of torch.distributed.checkpoint without {METADATA}, which "
            "says what is in them: copy it too (its name is hidden by its dot)."
        )
    parts = [METADATA, *(name for name in names if name.endswith(DISTCP))]
    return WeightFiles(tuple(folder / name for name in parts), folder, is_dcp=True)


def _names(folder: Path, *, folders: bool = False) -> list[str]:
    """The names of the files, or of the folders, in `folder`, sorted."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(
                entry.name
                for entry in islice(entries, ENTRY_LIMIT)
                if (Path.is_dir if folders else Path.is_file)(Path(entry.path))
            )
    except OSError as error:
        raise NotACheckpointError(f"{plain(folder)} cannot be read: {error.strerror}.") from error
    return [name for name in found if not name.startswith(".") or name == METADATA]


def _several(folder: Path, names: list[str]) -> NotACheckpointError:
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    shown = ", ".join(plain(name, 80) for name in names[:8])
    return NotACheckpointError(
        f"{plain(folder)} holds {len(names):,} checkpoints: {shown}{more}. Give one of them."
    )


def _nothing(folder: Path) -> NotACheckpointError:
    names, below = _names(folder), _names(folder, folders=True)
    for name in [*names, *below]:
        if known := foreign.by_name(name):
            what, advice = known
            return NotACheckpointError(f"{plain(folder)} holds {what} ({plain(name)}): {advice}.")
    if not names and not below:
        return NotACheckpointError(
            f"{plain(folder)} is a folder without files: give the weight file."
        )
    there = [count(len(names), "other file")] if names else []
    there += [count(len(below), "folder")] if below else []
    such = ", ".join(plain(name, 60) for name in [*names, *below][:3])
    return NotACheckpointError(
        f"{plain(folder)} is a folder without a weight file: only {' and '.join(there)}, such as "
        f"{such}. Give the weight file."
    )
