"""Brings a checkpoint at any location onto this disk: a path, object storage, a model of the hub.

A model (hf://OWNER/NAME) is fetched by the library huggingface_hub into its own cache, which other
programs share: of its files only the weights that are read and the configs beside them.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from mimic_ray.base.errors import (
    MissingObjectError,
    NotACheckpointError,
    ResourceError,
    StorageAwayError,
    StorageError,
    TooLargeCheckpointError,
    UsageError,
)
from mimic_ray.base.hub_address import HubAddress, is_hub, parse_hub
from mimic_ray.base.redact import redact
from mimic_ray.base.storage import local_copy, open_storage
from mimic_ray.base.storage_address import is_remote
from mimic_ray.base.text import plain
from mimic_ray.weight_files.folder_search import (
    DISTCP,
    METADATA,
    STANDARD,
    WEIGHT_SUFFIXES,
)
from mimic_ray.weight_files.model_config import BESIDE
from mimic_ray.weight_files.weight_parts import is_index, part_of

# Of the errors of huggingface_hub, by the names of their classes: what to do.
_ADVICE = {
    "GatedRepoError": "its owner gives access on request: ask on its page, then `hf auth login`",
    "RevisionNotFoundError": "there is no such revision",
    "RepositoryNotFoundError": "there is no such model, or it is private: check the name, or run "
    "`hf auth login`",
    "EntryNotFoundError": "there is no such file in it",
}


def at_hand(location: str | Path, limit_bytes: int) -> Path:
    """The local path of a checkpoint. Raises StorageError and its kin, UsageError."""
    text = str(location)
    if is_hub(text):
        return _of_hub(parse_hub(text), limit_bytes)
    if is_remote(text):
        return _of_storage(text, limit_bytes)
    return local_copy(text)


@cache
def _of_storage(address: str, limit_bytes: int) -> Path:
    """A file or a folder on object storage, copied once per process; an index and a part mean the
    folder that they are in."""
    base, question, settings = address.partition("?")
    above, _, name = base.rstrip("/").rpartition("/")
    if not (is_index(name) or part_of(name) or name == METADATA or name.endswith(DISTCP)):
        try:
            if found := open_storage(f"{above}{question}{settings}").find(name):
                _require_size(found.size, limit_bytes, plain(base))
            return local_copy(address)
        except MissingObjectError:
            above, name = base.rstrip("/"), ""
    storage = open_storage(f"{above}{question}{settings}")
    sizes = {found.name: found.size for found in storage.list(recursive=False)}
    if not sizes:
        raise MissingObjectError(f"{plain(base)} does not exist.")
    names = _wanted(HubAddress(storage.shown(), "", name), sizes, storage.shown())
    _require_size(sum(sizes[each] for each in names), limit_bytes, storage.shown())
    folder = Path(mkdtemp(prefix="mimic-ray-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    own = folder / PurePosixPath(above).name
    own.mkdir()
    for each in names:
        (own / each).hardlink_to(local_copy(f"{above}/{each}{question}{settings}"))
    return own / name


def _of_hub(address: HubAddress, limit_bytes: int) -> Path:
    shown = f"hf://{plain(address.model)}"
    hub = _library(address)
    revision: str | None = address.revision or None
    try:
        info = hub.HfApi().model_info(address.model, revision=revision, files_metadata=True)
    except Exception as error:
        found = _cached(hub, address)
        if found is None:
            raise _as_ours(shown, address, error) from error
        return found
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    names = _wanted(address, sizes, shown)
    _require_size(sum(sizes[name] for name in names), limit_bytes, shown)
    try:
        folder = hub.snapshot_download(address.model, revision=info.sha, allow_patterns=names)
    except Exception as error:
        raise _as_ours(shown, address, error) from error
    return Path(folder) / address.file


def _require_size(total: int, limit_bytes: int, shown: str) -> None:
    if total > limit_bytes:
        raise TooLargeCheckpointError(
            f"{shown} has {total:,} bytes of weights, over the limit of {limit_bytes:,}: fetch it "
            "yourself and save only the encoder's weights."
        )


def _library(address: HubAddress) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ResourceError(
            "To fetch models of the Hugging Face hub, install huggingface_hub "
            "(`pip install 'mimic-ray[hub]'`), or download the model where it is installed: "
            f"`hf download {address.model} --local-dir FOLDER`, and give the folder."
        ) from error
    return huggingface_hub


def _wanted(address: HubAddress, names: Iterable[str], shown: str) -> list[str]:
    """The files to fetch: one checkpoint, whole, and the configs beside it."""
    names = sorted(names)
    if address.file:
        if address.file not in names:
            raise MissingObjectError(
                f"{shown} has no file {plain(address.file)}; it has {_listed(names)}."
            )
        folder = str(PurePosixPath(address.file).parent)
        chosen = address.file
    else:
        folder = "."
        chosen = _chosen(names, shown)
    whole = _whole(PurePosixPath(chosen).name)
    beside = [name for name in names if str(PurePosixPath(name).parent) == folder]
    return [
        name
        for name in beside
        if _whole(last := PurePosixPath(name).name) == whole or last in BESIDE
    ]


def _chosen(names: list[str], shown: str) -> str:
    wholes = {_whole(name): name for name in names if "/" not in name}
    if METADATA in wholes:
        return METADATA
    for standard in STANDARD:
        if standard in wholes:
            return wholes[standard]
    likely = sorted(name for name in wholes if name.lower().endswith(WEIGHT_SUFFIXES))
    if len(likely) == 1:
        return wholes[likely[0]]
    if likely:
        raise UsageError(
            f"{shown} has {len(likely):,} checkpoints: {_listed(likely)}. Give one of them, as in "
            f"{shown}/{plain(likely[0])}."
        )
    raise NotACheckpointError(f"{shown} has no weights that are read; it has {_listed(names)}.")


def _whole(name: str) -> str:
    """The name of the checkpoint that a file belongs to: "model.safetensors" for its parts."""
    if name.endswith(DISTCP):
        return METADATA
    if is_index(name):
        return name.removesuffix(".index.json")
    return part_of(name) or name


def _cached(hub: Any, address: HubAddress) -> Path | None:
    """What an earlier run fetched, for work without a network."""
    try:
        folder = hub.snapshot_download(
            address.model, revision=address.revision or None, local_files_only=True
        )
    except Exception:
        return None
    path = Path(folder) / address.file
    return path if path.exists() else None


def _as_ours(shown: str, address: HubAddress, error: Exception) -> StorageError:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    for name, advice in _ADVICE.items():
        if name in kinds:
            return MissingObjectError(f"{shown} cannot be fetched: {advice}.")
    return StorageAwayError(
        f"{shown} cannot be fetched ({plain(redact(str(error)), 120)}): check the network, or "
        f"download it elsewhere with `hf download {address.model} --local-dir FOLDER` and give the "
        "folder."
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 6:,} more" if len(names) > 6 else ""
    return ", ".join(plain(name, 80) for name in names[:6]) + more if names else "no files"
