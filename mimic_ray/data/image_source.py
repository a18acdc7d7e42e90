"""Image sources: one interface for folders, shards, npz files and data sets.

A source returns encoded files by index. It does not decode or unpickle, nor open paths in the data.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import groupby, product
from pathlib import Path
from typing import Protocol, runtime_checkable

from mimic_ray.base.errors import BrokenImageError, DataError, MissingDataError
from mimic_ray.base.storage_address import Address, parse
from mimic_ray.base.text import count
from mimic_ray.data.image_folder import ImageFolder
from mimic_ray.data.local_shards import LocalShards
from mimic_ray.data.names import is_shard
from mimic_ray.data.npz_file import NpzFile
from mimic_ray.data.remote_shards import RemoteShards
from mimic_ray.data.shard_set import ShardSet, has_shards
from mimic_ray.data.torchvision_set import TorchvisionSet

_PATTERN = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
# By default a process can have 1,024 open files.
_OPEN_TARS = 256


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
    def __len__(self) -> int: ...
    def read(self, index: int) -> bytes:
        """The encoded file; thread-safe. Raises BrokenImageError if it cannot be read."""
        ...


@runtime_checkable
class BatchSource(Protocol):
    """A source that reads many images faster together than one by one."""

    def read_many(self, indices: Sequence[int]) -> list[bytes | BrokenImageError]: ...


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
    - an npz file with `x` (uint8 [N, H, W, 3]) and, if it has labels, `y`;
    - `torchvision:NAME:ROOT[:SPLIT]`, a data set that is already on disk;
    - `s3://BUCKET/PREFIX` or `gs://...`: shards on object storage, a folder, a tar or a pattern;
    - a list of tars.

    Raises MissingDataError if there is nothing, DataError if it cannot be used, StorageError.
    """
    if not isinstance(location, str | Path):
        if len(location) != 1:
            return _tars([_existing(path) for path in location], _shown(location))
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
    if not path.exists() and _PATTERN.search(text):
        return _tars(_matching(text), text)
    return _open_path(_existing(path))


def require_batch(source: ImageSource, batch: int) -> None:
    """Raises DataError for fewer images than one batch."""
    if len(source) < batch:
        raise DataError(
            f"{source.location} has {count(len(source), 'image')}, fewer than one batch of "
            f"{batch}: add images or lower training.batch."
        )


def _open_remote(address: Address) -> ShardSet:
    above, _, last = address.path.rpartition("/")
    if not (above and (_PATTERN.search(last) or is_shard(last))):
        folder = RemoteShards(address)
        return ShardSet(folder.shown(), [(folder, None)])
    folder = RemoteShards(replace(address, path=above))
    names: list[str] = []
    for name in _expand_braces(last):
        # A name from braces must exist; a wildcard matches what is there.
        wildcard = any(sign in name for sign in "*?[")
        names += [n for n in folder.names() if fnmatchcase(n, name)] if wildcard else [name]
    return ShardSet(folder.shown(), [(folder, names)])


def _open_path(path: Path) -> ImageSource:
    if path.is_dir():
        folder = LocalShards(path)
        return ShardSet(str(path), [(folder, None)]) if has_shards(folder) else ImageFolder(path)
    if path.suffix.lower() == ".npz":
        return NpzFile(path)
    if is_shard(path.name):
        return _tars([path], str(path))
    raise DataError(
        f"{path} is not a set of images: give a folder, a .tar, .tar.gz or .npz file, or a pattern "
        'such as "train-*.tar".'
    )


def _tars(paths: Sequence[Path], location: str) -> ShardSet:
    keep_open = len(paths) <= _OPEN_TARS
    folders = groupby(paths, lambda path: path.parent)
    parts = [
        (LocalShards(f, keep_open=keep_open), [p.name for p in inside]) for f, inside in folders
    ]
    return ShardSet(location, parts)


def _existing(location: str | Path) -> Path:
    path = Path(location).expanduser()
    if "://" in str(location):
        raise DataError(f"{location}: give a single address; it may be a pattern.")
    if not path.exists():
        raise MissingDataError(
            f"{path} does not exist: give a folder of images, shards or a pattern."
        )
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a file nor a folder.")
    return path


def _matching(pattern: str) -> list[Path]:
    """The files that match a pattern with braces and wildcards."""
    found: list[Path] = []
    for name in _expand_braces(str(Path(pattern).expanduser())):
        # A name from braces must exist; a wildcard matches what is there.
        found += (
            sorted(map(Path, glob.glob(name))) if glob.has_magic(name) else [_existing(name)]  # noqa: PTH207
        )
    if not found:
        raise MissingDataError(f"Nothing matches {pattern}.")
    return found


def _expand_braces(pattern: str) -> list[str]:
    """`a-{08..10}.tar` -> a-08.tar, a-09.tar, a-10.tar; `{a,b}.tar` -> a.tar, b.tar."""
    literal = _BRACES.split(pattern)[::2]
    choices = [_choices(inside) for inside in _BRACES.findall(pattern)]
    names = []
    for picked in product(*choices):
        names.append(
            "".join(part + word for part, word in zip(literal, (*picked, ""), strict=True))
        )
    return names


def _choices(inside: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if not numbers:
        return inside.split(",")
    first, last = numbers.groups()
    if int(last) - int(first) > 1_000_000:
        raise DataError(f"{{{inside}}} expands to more than a million files.")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def _shown(locations: Sequence[str | Path]) -> str:
    if not locations:
        raise DataError("No images were given: give a folder, shards or a pattern.")
    return f"{locations[0]} and {len(locations) - 1} more"
