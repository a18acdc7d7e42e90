"""Where images come from: one interface over folders, shards, npz files and data sets.

A source hands out encoded files by index and never decodes, unpickles or follows a name.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Protocol, runtime_checkable

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.storage_address import Address, parse
from mimic_ray.data.image_folder import ImageFolder
from mimic_ray.data.names import is_shard, is_shard_name
from mimic_ray.data.npz_file import NpzFile
from mimic_ray.data.remote_shards import RemoteShards
from mimic_ray.data.tar_shards import TarShards, shards_of
from mimic_ray.data.torchvision_set import TorchvisionSet

_PATTERN = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


class ImageSource(Protocol):
    """Encoded images by index, in a fixed order. Keys are unique and only ever shown.

    `fingerprint` depends on keys and content, not on where they lie. `labels` and `classes` are
    for `evaluate` and `attack` alone; None where the source has none.
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
    def __len__(self) -> int: ...
    def read(self, index: int) -> bytes:
        """The encoded file; from any thread. Raises BrokenImageError if it cannot be read."""
        ...


@runtime_checkable
class RemoteSource(ImageSource, Protocol):
    """One that is read over a network, so that many images should be asked for at once."""

    def read_many(self, indices: Sequence[int]) -> list[bytes | BrokenImageError]:
        """The encoded files in the order asked. Raises StorageError when the storage fails."""
        ...


def read_many(source: ImageSource, indices: Sequence[int]) -> list[bytes | BrokenImageError]:
    """The encoded files in the order asked, an error in the place of one that cannot be read."""
    if isinstance(source, RemoteSource):
        return source.read_many(indices)
    return [_read(source, index) for index in indices]


def _read(source: ImageSource, index: int) -> bytes | BrokenImageError:
    try:
        return source.read(index)
    except BrokenImageError as error:
        return error


def open_images(location: str | Path | Sequence[str | Path]) -> ImageSource:
    """The images at `location`, which is one of

    - a folder of images, searched with its sub-folders, or of .tar, .tar.gz and .tgz shards;
    - one tar, or several as a pattern: `train-*.tar`, `train-{0000..0007}.tar`, `{a,b}.tar`;
    - an npz file with `x` (uint8 [N, H, W, 3]) and, if it has labels, `y`;
    - `torchvision:NAME:ROOT[:SPLIT]`, a data set that is on disk already;
    - `s3://BUCKET/PREFIX` or `gs://...`: shards on object storage, a folder, a tar or a pattern;
    - a list of tars.

    Raises DataError if there are none or they cannot be used, StorageError.
    """
    if not isinstance(location, str | Path):
        if len(location) != 1:
            return TarShards([_existing(path) for path in location], _shown(location))
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
        return TarShards(_matching(text), text)
    return _open_path(_existing(path))


def _open_remote(address: Address) -> ImageSource:
    folder, _, last = address.path.rpartition("/")
    if folder and (_PATTERN.search(last) or is_shard_name(last)):
        return RemoteShards(replace(address, path=folder), _without_braces(last))
    return RemoteShards(address)


def _open_path(path: Path) -> ImageSource:
    if path.is_dir():
        shards = shards_of(path)
        return TarShards(shards, str(path)) if shards else ImageFolder(path)
    if path.suffix.lower() == ".npz":
        return NpzFile(path)
    if is_shard(path):
        return TarShards([path], str(path))
    raise DataError(
        f"{path} is no set of images: give a folder, a .tar, .tar.gz or .npz file, or a pattern "
        'like "train-*.tar".'
    )


def _existing(location: str | Path) -> Path:
    path = Path(location).expanduser()
    if "://" in str(location):
        raise DataError(f"{location}: of addresses one alone can be given, with a pattern.")
    if not path.exists():
        raise DataError(f"{path} does not exist: give a folder of images, shards or a pattern.")
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a file nor a folder.")
    return path


def _matching(pattern: str) -> list[Path]:
    """The files that a pattern with braces, stars and question marks stands for."""
    found: list[Path] = []
    for name in _without_braces(str(Path(pattern).expanduser())):
        # A name out of braces is a promise; a star stands for whatever is there.
        found += (
            sorted(map(Path, glob.glob(name))) if glob.has_magic(name) else [_existing(name)]  # noqa: PTH207
        )
    if not found:
        raise DataError(f"Nothing matches {pattern}.")
    return found


def _without_braces(pattern: str) -> list[str]:
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
        raise DataError(f"{{{inside}}} stands for more than a million files.")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def _shown(locations: Sequence[str | Path]) -> str:
    if not locations:
        raise DataError("No images were named: give a folder, shards or a pattern.")
    return f"{locations[0]} and {len(locations) - 1} more"
