"""Images in an npz file, the format of BadEncoder's data."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import plain
from mimic_ray.data.fingerprint import set_fingerprint
from mimic_ray.data.left_out import Omissions

# Limit of the unpacked arrays. A small file may unpack to a thousand times its size.
_LIMIT_BYTES = 8 << 30


class NpzFile:
    """`x`, uint8 [N, H, W, 3], and the labels `y` if the file has them. Keys are row numbers.

    Raises DataError for any other content. Nothing is unpickled.
    """

    remote = False

    def __init__(self, path: Path) -> None:
        self.location = str(path)
        self.left_out = Omissions()
        self.notes: list[str] = []
        arrays = _load(path)
        if "x" not in arrays:
            there = ", ".join(map(plain, arrays)) or "nothing"
            raise DataError(f'{path} contains {there}; a set of images needs "x".')
        images = arrays["x"]
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise DataError(
                f'{path}: "x" is {images.dtype} {[*images.shape]}, expected uint8 [N, H, W, 3].'
            )
        if 0 in images.shape:
            raise DataError(f'{path}: "x" is {[*images.shape]} and contains no images.')
        self._images: NDArray[np.uint8] = images
        self.keys = [f"{row:06}" for row in range(len(images))]
        self.classes: list[str] | None = None
        self.labels = _labels(path, arrays.get("y"), len(images))

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> bytes:
        """The image as a PNG file."""
        return as_png(Image.fromarray(self._images[index]))

    @cached_property
    def fingerprint(self) -> str:
        digests = (hashlib.sha256(image.tobytes()).hexdigest() for image in self._images)
        return set_fingerprint(zip(self.keys, digests, strict=True))


def as_png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.convert("RGB").save(content, "PNG")
    return content.getvalue()


def _load(path: Path) -> dict[str, Any]:
    """The arrays x and y, and the names of others with None."""
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total > _LIMIT_BYTES:
            raise DataError(
                f"{path} takes {total >> 20:,} MiB unpacked, over the limit of "
                f"{_LIMIT_BYTES >> 20:,} MiB: make shards of the images instead."
            )
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] if name in ("x", "y") else None for name in file.files}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{path} is not an npz file of images: {plain(error)}.") from error
    except Exception as error:  # zlib.error, NotImplementedError, struct.error of a damaged zip
        raise DataError(f"{path} is damaged: {plain(error)}.") from error


def _labels(path: Path, labels: Any, images: int) -> list[int] | None:
    if labels is None:
        return None
    if labels.size != images or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f'{path}: "y" is {labels.dtype} {[*labels.shape]}, expected one integer for each of '
            f"{images} images."
        )
    found = [int(label) for label in labels.reshape(-1)]
    return None if min(found, default=0) < 0 else found  # below 0: unlabelled, as in other sets
