"""Encoded images by index: the interface of every source of images.

A source returns encoded files by index. It does not decode or unpickle, nor open paths in the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from mimic_ray.base.errors import BrokenImageError
from mimic_ray.data.left_out import Omissions


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
        """Fetches what all images need, in the background, if there is space. Returns at once.

        Returns the bytes that it takes in the cache folder, 0 if it is not fetched.
        """
        ...

    def can_stream(self, images: int) -> bool:
        """Whether there is space for what this number of images need at a time."""
        ...

    def shards(self) -> list[int]:
        """The number of each image's shard: what is fetched as a whole."""
        ...

    def expect(self, shards: Sequence[int]) -> None:
        """Fetches the shards of these numbers in this order, as far as there is space."""
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
