"""A folder of image files, with the files below it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from mimic_ray.base.errors import BrokenImageError, DataError, UnreadImageError
from mimic_ray.data.class_folders import require_one_split
from mimic_ray.data.fingerprint import file_digests, set_fingerprint
from mimic_ray.data.folder_survey import Survey
from mimic_ray.data.labels_beside import FileLabels, labels_of
from mimic_ray.data.names import IMAGE_LIMIT_BYTES, OVER_LIMIT, as_key


class ImageFolder:
    """The images of a survey, sorted by their relative names, which are the keys.

    Raises DataError for images of several splits.
    """

    remote = False

    def __init__(self, location: str, found: Survey) -> None:
        self.location = location
        self._root, self._names, self._others = found.root, found.images, found.others
        self.left_out = found.beside_images()
        self.notes: list[str] = []
        self.keys = [as_key(name) for name in found.images]
        require_one_split(str(found.root), self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        return read_image(self._root / self._names[index])

    @cached_property
    def fingerprint(self) -> str:
        paths = {key: self._root / name for key, name in zip(self.keys, self._names, strict=True)}
        return set_fingerprint(file_digests(self._root, paths).items())

    @property
    def labels(self) -> list[int] | None:
        """As `labels_of` finds them."""
        return self._labels[0]

    @property
    def classes(self) -> list[str] | None:
        return self._labels[1]

    @cached_property
    def _labels(self) -> FileLabels:
        labels, classes = labels_of(
            self._names, set(self._others), lambda name, most: _small(self._root / name, most)
        )
        return labels, classes and list(map(as_key, classes))


def read_image(path: Path) -> bytes:
    """The content of an image file. Raises BrokenImageError."""
    try:
        with path.open("rb") as file:
            content = file.read(IMAGE_LIMIT_BYTES + 1)
    except OSError as error:
        raise UnreadImageError(f"cannot be read: {error.strerror or error}") from error
    if len(content) > IMAGE_LIMIT_BYTES:
        raise BrokenImageError(OVER_LIMIT)
    return content


def _small(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes, else nothing."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return content if len(content) <= most else b""
