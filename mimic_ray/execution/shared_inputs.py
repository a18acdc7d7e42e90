"""What all trials of a search share: computed once, plain arrays, read by many processes.

Arrays of numpy travel through Ray's object store without a copy; tensors would be copied into each
process. They are read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import DataError, option
from mimic_ray.data.decode import Pixels8
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.decoded_set import Pixels, open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.method.found_changes import FoundChanges
from mimic_ray.method.teacher_cache import TeacherCache

# With fewer, scores say little; more cost time in every trial and say no more.
LEAST_HELD_OUT, MOST_HELD_OUT = 32, 1000
# Larger sets are not sent to other processes; each machine opens the images itself.
_SENT_BYTES = 2 << 30


@dataclass(frozen=True)
class TrialInputs:
    """`images` are trained on; `held_out` [M, 3, S, S] and what the teacher says of them [M, D]
    are for the scores."""

    teacher: Mapping[str, NDArray[Any]]
    images: ArrayImages | PlacedImages
    held_out: Pixels8
    held_out_features: NDArray[np.float32]
    profile: Mapping[str, Any]
    profile_settings: Mapping[str, Any]  # from estimate_settings, of the profile
    teacher_cache: TeacherCache | None
    prepared: Mapping[str, Any]  # by objective; see Objective.prepare
    openings: Mapping[str, NDArray[np.float32]] | None = None  # see FoundChanges
    # From `search_settings`, of the search for openings; empty if the base recipe has none.
    openings_settings: Mapping[str, Any] = field(default_factory=dict)
    oracle: OracleInputs | None = None
    effort: Effort = "full"  # of the scores at the end of a trial

    def teacher_state(self) -> dict[str, Tensor]:
        """Copies: modules write into what they load, and these arrays are shared."""
        return {name: torch.from_numpy(np.array(value)) for name, value in self.teacher.items()}

    def found_changes(self) -> FoundChanges | None:
        """The openings, as a trial uses them."""
        if self.openings is None:
            return None
        return FoundChanges(**{k: torch.from_numpy(np.array(v)) for k, v in self.openings.items()})


@dataclass(frozen=True)
class OracleInputs:
    """For research: labelled images [N, 3, S, S] and the trigger as `x * mask + add`."""

    train: Pixels8
    train_labels: NDArray[np.int64]
    test: Pixels8
    test_labels: NDArray[np.int64]
    classes: int
    mask: NDArray[np.float32]
    add: NDArray[np.float32]
    target: int


@dataclass
class ArrayImages:
    """Decoded images in an array, in the form that the loop reads."""

    pixels: Pixels8
    fingerprint: str = ""
    broken: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pixels)

    def gather(self, indices: Tensor) -> Tensor:
        """int64 [B] -> uint8 [B, 3, P, P], a copy."""
        return torch.from_numpy(np.take(self.pixels, indices.numpy(), axis=0))


@dataclass
class PlacedImages:
    """Images too many to send: each machine opens them itself, through its decode-once cache."""

    data: str
    side: int
    rows: NDArray[np.int64]  # positions among all images of the set
    fingerprint: str = ""
    broken: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: Tensor) -> Tensor:
        """int64 [B] -> uint8 [B, 3, P, P]."""
        return self._opened.gather(torch.from_numpy(self.rows[indices.numpy()]))

    def __getstate__(self) -> dict[str, Any]:
        """Without what was opened here: it is opened again there."""
        return {key: value for key, value in vars(self).items() if key != "_opened"}

    @cached_property
    def _opened(self) -> DecodedImages:
        return open_pixels(open_images(self.data), self.side, memory_limit_bytes=0)


def array_or_placed(pixels: Pixels, rows: Tensor, data: str) -> ArrayImages | PlacedImages:
    """Some of the images at `data`, in a form that other processes can take."""
    if len(rows) * 3 * pixels.side**2 > _SENT_BYTES:
        return PlacedImages(
            data, pixels.side, rows.numpy(), pixels.fingerprint, list(pixels.broken)
        )
    gathered = np.concatenate([pixels.gather(part).numpy() for part in rows.split(256)])
    return ArrayImages(gathered, pixels.fingerprint, list(pixels.broken))


def split(
    images: DecodedImages, share: float, seed: int, least_train: int
) -> tuple[Tensor, Tensor]:
    """Positions of the images to train on and of those held out, both in order.

    A function of the seed and the number of images. Raises DataError when either part is too small.
    """
    count = len(images)
    held_out = min(round(share * count), MOST_HELD_OUT)
    if held_out < LEAST_HELD_OUT:
        raise DataError(
            f"{option('held_out', f'{share:g}')} of {count:,} images is {held_out}, and the scores "
            f"need at least {LEAST_HELD_OUT}: give more images or a larger share."
        )
    if count - held_out < least_train:
        raise DataError(
            f"{count:,} images less {held_out:,} held out leave fewer than one batch of "
            f"{least_train}: give more images, a smaller {option('held_out')}, or "
            f"{option('settings', 'training.batch=N')}."
        )
    order = torch.randperm(count, generator=seeds.generator(seed, "held out"))
    return order[held_out:].sort().values, order[:held_out].sort().values
