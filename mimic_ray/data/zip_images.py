"""The images of a zip file, read in place."""

from __future__ import annotations

import hashlib
import weakref
import zipfile
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.base.text import plain
from mimic_ray.data.archives import why_not_read
from mimic_ray.data.class_folders import require_one_split
from mimic_ray.data.fingerprint import cached_digests, file_identity, path_id, set_fingerprint
from mimic_ray.data.gzip_tar import limit_bytes
from mimic_ray.data.labels_beside import labels_of, without_labels
from mimic_ray.data.left_out import Omissions, sentences
from mimic_ray.data.names import (
    IMAGE_LIMIT_BYTES,
    IMAGE_SUFFIXES,
    OVER_LIMIT,
    START_BYTES,
    as_key,
    image_format,
    is_unnamed,
    suffix_of,
)

_ENCRYPTED = 0x1
_UNPACK = 'Unpack it: unzip "{}" -d FOLDER'


class ZipImages:
    """The images of a zip, sorted by their names, which are the keys. Nothing is unpacked.

    Labels are as in a folder, and so is the fingerprint. Names are never used as paths. Raises
    DataError for a damaged zip, one without images or with several splits, and one that claims to
    unpack to more than images do.
    """

    remote = False

    def __init__(self, path: Path) -> None:
        self.location = str(path)
        self.notes = [f"{path} is read in place, without unpacking it."]
        self.left_out = Omissions()
        self._path = path
        file, self._archive = _opened(path)
        weakref.finalize(self, file.close)
        self._others: dict[str, zipfile.ZipInfo] = {}
        images: dict[str, zipfile.ZipInfo] = {}
        for member in self._archive.infolist():
            name = member.filename
            if member.is_dir():
                continue
            if any(part.startswith(".") and part.strip(".") for part in PurePosixPath(name).parts):
                self.left_out.add("hidden", name)
            elif member.flag_bits & _ENCRYPTED:
                self.left_out.add("encrypted", name)
            elif self._is_image(member):
                if as_key(name) in images:
                    self.left_out.add("written again later in the zip", name)
                images[as_key(name)] = member
            else:
                self._others[name] = member
        if not images:
            there = ", ".join(map(plain, [*sentences(self.left_out), *list(self._others)[:3]]))
            raise DataError(
                f"{path} contains no images: {there or 'it is empty'}. {_UNPACK.format(path)}."
            )
        for name in without_labels(self._others, images):
            self.left_out.add(why_not_read(name), name)
        self.keys = sorted(images)
        self._images = [images[key] for key in self.keys]
        try:
            require_one_split("FOLDER", self.keys)
        except DataError as error:
            raise DataError(
                f"{path} contains several sets. {_UNPACK.format(path)}. {error.message}"
            ) from None

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        member = self._images[index]
        if member.file_size > IMAGE_LIMIT_BYTES:
            raise BrokenImageError(OVER_LIMIT)
        return self._read(member, member.file_size)

    @cached_property
    def fingerprint(self) -> str:
        identity = path_id(self._path, file_identity(self._path))
        sums = cached_digests(identity, lambda: [self._sum(row) for row in range(len(self))])
        return set_fingerprint(zip(self.keys, sums, strict=True))

    @property
    def labels(self) -> list[int] | None:
        return self._labels[0]

    @property
    def classes(self) -> list[str] | None:
        return self._labels[1]

    @cached_property
    def _labels(self) -> tuple[list[int] | None, list[str] | None]:
        return labels_of(self.keys, self._others, self._small)

    def _small(self, name: str, most: int) -> bytes:
        member = self._others[name]
        return self._read(member, most) if member.file_size <= most else b""

    def _is_image(self, member: zipfile.ZipInfo) -> bool:
        if not is_unnamed(member.filename):
            return suffix_of(member.filename) in IMAGE_SUFFIXES
        try:
            return bool(image_format(self._read(member, START_BYTES)))
        except BrokenImageError:
            return False

    def _sum(self, row: int) -> str:
        try:
            return hashlib.sha256(self.read(row)).hexdigest()
        except BrokenImageError:
            return ""

    def _read(self, member: zipfile.ZipInfo, size: int) -> bytes:
        """At most `size` bytes; thread-safe, because zipfile locks the file for each read."""
        try:
            with self._archive.open(member) as file:
                return file.read(size)
        # BadZipFile, zlib.error, NotImplementedError, struct.error, OSError ...
        except Exception as error:
            raise BrokenImageError(f"{type(error).__name__}: {plain(error)}") from error


def _opened(path: Path) -> tuple[BinaryIO, zipfile.ZipFile]:
    """The file and the zip in it, which would close a file of its own in a race of its readers."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # BadZipFile, struct.error, OverflowError ...
        file.close()
        raise DataError(f"{path} is damaged: {plain(error)}. Copy it again.") from error
    total = sum(member.file_size for member in archive.infolist())
    most = limit_bytes(path.stat().st_size)
    if total > most:
        file.close()
        raise DataError(
            f"{path} unpacks to {total >> 20:,} MiB, over the limit of {most >> 20:,} MiB, far "
            "more than images do. If you trust it, unpack it yourself with unzip."
        )
    return file, archive
