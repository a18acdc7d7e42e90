"""Image sources: one interface for folders, shards, npz files and data sets.

A source returns encoded files by index. It does not decode or unpickle, nor open paths in the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, runtime_checkable

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.storage_address import Address, parse
from mimic_ray.base.text import count
from mimic_ray.data.folder_source import open_path, open_paths
from mimic_ray.data.left_out import Omissions, announce
from mimic_ray.data.names import IMAGE_SUFFIXES, TABLE_SUFFIXES, is_shard, suffix_of
from mimic_ray.data.patterns import existing, expand_braces, is_pattern, matching
from mimic_ray.data.remote_shards import RemoteShards
from mimic_ray.data.shard_set import ONLY_TARS, ShardSet
from mimic_ray.data.torchvision_set import TorchvisionSet

_NOT_FROM_STORAGE = {*IMAGE_SUFFIXES, *(suffix[1:] for suffix in TABLE_SUFFIXES), "zip", "npz"}


class ImageSource(Protocol):
    """Encoded images by index, in a fixed order. Keys are unique and are only used for display.

    `fingerprint` depends on keys and content, not on the location. `labels` and `classes` are used
    by `evaluate` and `attack` only; None if the source has none. `remote` sources are read over a
    network, so their images are decoded when needed instead of all at once.
    """

    @property
    def keys(self) -> list[str]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def labels(self) -> list[int] | None: ...
    @property
    def classes(self) -> list[str] | None: ...
    @property
    def remote(self) -> bool: ...
    @property
    def left_out(self) -> Omissions:
        """What lies at the location and is not read."""
        ...

    @property
    def notes(self) -> list[str]:
        """Choices that the source made, one sentence each."""
        ...

    def __len__(self) -> int: ...
    def read(self, index: int) -> bytes:
        """The encoded file; thread-safe. Raises BrokenImageError if it cannot be read."""
        ...


@runtime_checkable
class BatchSource(Protocol):
    """A source that reads many images faster together than one by one."""

    def read_many(self, indices: Sequence[int]) -> list[bytes | BrokenImageError]: ...


@runtime_checkable
class FarSource(Protocol):
    """A source that may be read over a network, and can be fetched to local disk first."""

    def bring(self) -> int:
        """Fetches what all images need, in the background, if there is room. Returns at once.

        Returns the bytes that it takes in the cache folder, 0 if it is not fetched.
        """
        ...

    def can_stream(self, images: int) -> bool:
        """Whether there is room for what this number of images need at a time."""
        ...

    def shards(self) -> list[int]:
        """The number of each image's shard: what is fetched as a whole."""
        ...

    def expect(self, shards: Sequence[int]) -> None:
        """Fetches the shards of these numbers in this order, as far as there is room."""
        ...


def read_many(source: ImageSource, indices: Sequence[int]) -> list[bytes | BrokenImageError]:
    """The encoded files in the given order, an error for each that cannot be read.

    Raises StorageError if the storage fails.
    """
    if isinstance(source, BatchSource):
        return source.read_many(indices)
    return [_read(source, index) for index in indices]


def _read(source: ImageSource, index: int) -> bytes | BrokenImageError:
    try:
        return source.read(index)
    except BrokenImageError as error:
        return error


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


def require_batch(source: ImageSource, batch: int) -> None:
    """Raises DataError for fewer images than one batch."""
    if len(source) < batch:
        raise DataError(
            f"{source.location} has {count(len(source), 'image')}, fewer than one batch of "
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
    return ShardSet(folder.shown(), [(folder, names)])


def _shown(locations: Sequence[str | Path]) -> str:
    if not locations:
        raise DataError("No images were given: give a folder, shards or a pattern.")
    return f"{locations[0]} and {len(locations) - 1} more"
