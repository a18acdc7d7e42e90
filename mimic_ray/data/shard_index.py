"""Indexes the images of a tar without a manifest by reading it once."""

from __future__ import annotations

import hashlib
import itertools
import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mimic_ray.base.cache_dir import cache_dir
from mimic_ray.base.errors import DataError
from mimic_ray.base.locks import exclusive_lock
from mimic_ray.base.text import plain
from mimic_ray.data import manifest
from mimic_ray.data.archives import NOT_AN_IMAGE, why_not_read
from mimic_ray.data.fingerprint import remember
from mimic_ray.data.left_out import Omissions
from mimic_ray.data.manifest import Entry, Index
from mimic_ray.data.names import (
    IMAGE_SUFFIXES,
    START_BYTES,
    as_key,
    image_format,
    is_hidden,
    is_unnamed,
    suffix_of,
)
from mimic_ray.data.samples import (
    LABEL_BYTES,
    MOST_IMAGES,
    chosen_image,
    is_other_than_photograph,
    key_and_suffix,
    label_in,
)
from mimic_ray.data.tar_index import Member, members_of

# Increase when the content of an index changes.
INDEX_VERSION = "2"
_ANOTHER = "another image of a sample"


def cached_index(identity: str, make: Callable[[], Index]) -> Index:
    """The index that `make` returns, cached under `identity`."""
    path = cache_dir() / "indexes" / f"{identity}.parquet"
    # Reading a whole tar is slow, so one process does it while the others wait.
    with exclusive_lock(cache_dir() / "locks" / f"{identity}.making"):
        if path.is_file():
            with suppress(DataError):  # of a damaged one, which is made again
                index = manifest.read_index(path)
                os.utime(path)  # eviction takes the least recently used
                return index
        index = make()
        remember(path, manifest.to_parquet(*index))
    return index


def index_tar(path: Path, name: str) -> Index:
    """The images of a plain tar with their labels, one for each sample; `name` is its shard.

    Raises DataError for anything but a complete tar, and for samples with several images of which
    none is clearly the photograph.
    """
    try:
        with path.open("rb") as file:
            return index_file(file, path.stat().st_size, str(path), name)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def index_file(file: BinaryIO, total: int, path: str, name: str) -> Index:
    """The same for an open file of `total` bytes, which is read once from start to end."""
    found = _Found(file, name)
    for member in members_of(file, total, path):
        found.add(member)
    return found.index(path)


class _Image(NamedTuple):
    number: int  # in the order of the tar
    member: str
    suffix: str
    entry: Entry


class _Found:
    """What the members of a tar are, while it is read."""

    def __init__(self, file: BinaryIO, shard: str) -> None:
        self._file, self._shard = file, shard
        self._images: dict[str, list[_Image]] = {}  # by key
        self._labels: dict[str, dict[str, int | str]] = {}  # by key and suffix
        self._others: list[tuple[str, str, str]] = []  # member, key, reason
        self._numbers = itertools.count()
        self._sums: dict[tuple[int, int], str] = {}  # of content that a hard link may name again

    def add(self, member: Member) -> None:
        shown = as_key(member.name)
        key, suffix = key_and_suffix(shown)
        if is_hidden(member.name) or member.problem:
            self._others.append((shown, "", "hidden" if is_hidden(shown) else member.problem))
        elif suffix in LABEL_BYTES and member.size <= LABEL_BYTES[suffix]:
            label = label_in(suffix, self._read(member, member.size))
            if label is not None:
                self._labels.setdefault(key, {})[suffix] = label
            self._others.append((shown, key, NOT_AN_IMAGE))
        elif suffix_of(shown) in IMAGE_SUFFIXES:
            self._add_image(key, suffix, shown, member)
        elif is_unnamed(shown) and image_format(self._read(member, START_BYTES)):
            self._add_image(shown, "", shown, member)
        else:
            self._others.append((shown, key, why_not_read(shown)))

    def _add_image(self, key: str, suffix: str, shown: str, member: Member) -> None:
        span = member.offset, member.size
        if span not in self._sums:
            self._sums[span] = self._sha256(member)
        entry = Entry(key, self._shard, *span, self._sums[span])
        self._images.setdefault(key, []).append(_Image(next(self._numbers), shown, suffix, entry))

    def index(self, path: str) -> Index:
        left_out = Omissions()
        entries: list[tuple[int, Entry]] = []
        chosen = {key: self._chosen(path, images) for key, images in self._images.items()}
        photographs = any(
            not is_other_than_photograph(image.suffix)
            for images in chosen.values()
            for image in images
        )
        for key, images in self._images.items():
            for image in images:
                mask = photographs and is_other_than_photograph(image.suffix)
                if image not in chosen[key] or mask:
                    left_out.add(_ANOTHER, image.member)
                    continue
                own = key if len(chosen[key]) == 1 else image.member.rpartition(".")[0]
                labels = self._labels.get(key, {})
                label = next((labels[suffix] for suffix in LABEL_BYTES if suffix in labels), None)
                number = label if isinstance(label, int) else None
                name = label if isinstance(label, str) else None
                entry = image.entry._replace(key=own, label=number, class_name=name)
                entries.append((image.number, entry))
        for member, key, reason in self._others:
            # What belongs to a sample is not left out: labels, captions, descriptions.
            if key not in chosen or reason != NOT_AN_IMAGE:
                left_out.add(reason, member)
        return Index([entry for _, entry in sorted(entries)], left_out)

    def _chosen(self, path: str, images: list[_Image]) -> list[_Image]:
        """The images of a key that are read: one, or all where they are not one sample."""
        if len(images) == 1:
            return images
        names = [image.member for image in images]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(
                f"{path} contains {plain(twice)} twice. Unpack it into a folder, which keeps the "
                f"last one: tar -xf {shlex.quote(path)} -C FOLDER."
            )
        if len(images) > MOST_IMAGES:
            return images
        index = chosen_image([image.suffix for image in images])
        if index is None:
            raise DataError(
                f"{path} has several images in one sample, and it is not clear which to read: "
                f"{' and '.join(map(plain, names[:4]))}. Unpack one kind into a folder: "
                f"tar -xf {shlex.quote(path)} -C FOLDER --wildcards '*.{images[0].suffix}'."
            )
        return [images[index]]

    def _read(self, member: Member, size: int) -> bytes:
        self._file.seek(member.offset)
        return self._file.read(min(size, member.size))

    def _sha256(self, member: Member) -> str:
        digest = hashlib.sha256()
        self._file.seek(member.offset)
        for start in range(0, member.size, 1 << 20):
            digest.update(self._file.read(min(1 << 20, member.size - start)))
        return digest.hexdigest()
