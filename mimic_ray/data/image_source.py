"""Opens images of every kind as one interface: folders, shards, npz files and data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from mimic_ray.base.errors import DataError, MissingDataError
from mimic_ray.base.storage_address import Address, parse
from mimic_ray.base.text import count
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.folder_source import open_path, open_paths
from mimic_ray.data.left_out import announce
from mimic_ray.data.names import IMAGE_SUFFIXES, TABLE_SUFFIXES, is_shard, suffix_of
from mimic_ray.data.patterns import existing, expand_braces, is_pattern, matching
from mimic_ray.data.remote_shards import RemoteShards
from mimic_ray.data.shard_set import ONLY_TARS, ShardSet
from mimic_ray.data.torchvision_set import TorchvisionSet

_NOT_FROM_STORAGE = {*IMAGE_SUFFIXES, *(suffix[1:] for suffix in TABLE_SUFFIXES), "zip", "npz"}


def open_images(location: str | Path | Sequence[str | Path]) -> ImageSource:
    """The images at `location`, which is one of:

    - a folder of images, searched recursively, or of .tar, .tar.gz and .tgz shards;
    - one tar, or several as a pattern: `train-*.tar`, `train-{0000..0007}.tar`, `{a,b}.tar`;
    - a zip of images, or tables of Hugging Face: .parquet, .arrow, and folders of these;
    - an npz file with `x` (uint8 [N, H, W, 3]) and, if it has labels, `y`;
    - `torchvision:NAME:ROOT[:SPLIT]`, a data set that is already on disk;
    - `s3://BUCKET/PREFIX` or `gs://...`: shards on object storage, a folder, a tar or a pattern;
    - a pattern or a list of images and of folders of images: `photos/*.png`, `train/n01*`.

    Raises MissingDataError if there is nothing, DataError if it cannot be used, StorageError.
    """
    if not isinstance(location, str | Path):
        if len(location) != 1:
            return open_paths([existing(path) for path in location], _shown(location))
        location = location[0]
    text = str(location)
    if text.startswith("torchvision:"):
        return TorchvisionSet(text)
    if "://" in text:
        address = parse(text)
        if address.remote:
            return _open_remote(address)
        text = address.path
    path = Path(text).expanduser()
    if not path.exists() and is_pattern(text):
        return open_paths(matching(text), text)
    return open_path(existing(path))


def open_announced(location: str | Path | Sequence[str | Path]) -> ImageSource:
    """The same; also logs what is left out. For the process that the user looks at."""
    source = open_images(location)
    announce(source.location, source.left_out, source.notes)
    return source


def require_batch(source: ImageSource, batch: int, held_out: int = 0) -> None:
    """Raises DataError if, without those held out, there are fewer images than one batch."""
    if len(source) - held_out < batch:
        less = f" less {held_out:,} held out" if held_out else ""
        raise DataError(
            f"{source.location} has {count(len(source), 'image')}{less}, fewer than one batch of "
            f"{batch}: add images or lower training.batch."
        )


def _open_remote(address: Address) -> ShardSet:
    above, _, last = address.path.rpartition("/")
    if suffix_of(last) in _NOT_FROM_STORAGE:
        raise DataError(f"{address.shown} is a .{suffix_of(last)} file. {ONLY_TARS}")
    if not (above and (is_pattern(last) or is_shard(last))):
        folder = RemoteShards(address)
        return ShardSet(folder.shown(), [(folder, None)])
    folder = RemoteShards(replace(address, path=above))
    names: list[str] = []
    for name in expand_braces(last):
        # A name from braces must exist; a wildcard matches what is there.
        wildcard = any(sign in name for sign in "*?[")
        names += [n for n in folder.names() if fnmatchcase(n, name)] if wildcard else [name]
    if not names:
        raise MissingDataError(f"Nothing matches {address.shown}.")
    return ShardSet(address.shown, [(folder, names)])


def _shown(locations: Sequence[str | Path]) -> str:
    if not locations:
        raise DataError("No images were given: give a folder, shards or a pattern.")
    return f"{locations[0]} and {len(locations) - 1} more"
