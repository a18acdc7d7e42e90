"""Some images of a source, and those held out of a purification."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

from mimic_ray.base.errors import BrokenImageError
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.encoded_images import FarSource, ImageSource, read_many

# One image in 20 is held out, at most 500: the standard error of a mean cosine is far below 0.01.
# With fewer than 32 the number of common neighbours says little, and training needs every image.
_ONE_IN, _FEWEST_HELD_OUT, _MOST_HELD_OUT = 20, 32, 500


class ImageSubset:
    """The images of a source at the positions `chosen`."""

    def __init__(self, source: ImageSource, chosen: Sequence[int]) -> None:
        self._source, self._chosen = source, chosen
        self.keys = [source.keys[index] for index in chosen]
        self.location, self.remote = source.location, source.remote
        self.left_out, self.notes = source.left_out, source.notes
        positions = hashlib.sha256(repr(list(chosen)).encode()).hexdigest()[:8]
        self.fingerprint = f"{source.fingerprint} ({len(chosen)} of {len(source)}: {positions})"

    def __len__(self) -> int:
        return len(self._chosen)

    @cached_property
    def labels(self) -> list[int] | None:
        labels = self._source.labels
        return None if labels is None else [labels[index] for index in self._chosen]

    @property
    def classes(self) -> list[str] | None:
        return self._source.classes

    def bring(self) -> int:
        """As of the source, if at least half of it is used: shards are fetched whole."""
        return self._far.bring() if self._far else 0

    def can_stream(self, images: int) -> bool:
        return bool(self._far and self._far.can_stream(images))

    def shards(self) -> list[int]:
        of_all = self._far.shards() if self._far else [0] * len(self._source)
        return [of_all[index] for index in self._chosen]

    def expect(self, shards: Sequence[int]) -> None:
        if self._far:
            self._far.expect(shards)

    @property
    def _far(self) -> FarSource | None:
        source = self._source
        return source if isinstance(source, FarSource) and 2 * len(self) >= len(source) else None

    def read(self, index: int) -> bytes:
        return self._source.read(self._chosen[index])

    def read_many(self, indices: Sequence[int]) -> list[bytes | BrokenImageError]:
        return read_many(self._source, [self._chosen[index] for index in indices])


def hold_out(source: ImageSource) -> tuple[ImageSource, ImageSource | None]:
    """The images to train on, and those held out to measure fidelity: one in 20, evenly spaced.

    None is held out of fewer than 640 images. A function of the number of images alone, so that
    every process makes the same choice.
    """
    count, held_out = len(source), held_out_number(len(source))
    if not held_out:
        return source, None
    chosen = evenly_spaced(held_out, count)
    kept = set(chosen)
    others = [index for index in range(count) if index not in kept]
    return ImageSubset(source, others), ImageSubset(source, chosen)


def held_out_number(images: int) -> int:
    """How many of so many images `hold_out` holds out."""
    held_out = min(images // _ONE_IN, _MOST_HELD_OUT)
    return held_out if held_out >= _FEWEST_HELD_OUT else 0
