"""The fidelity of a finished run: how well the student reproduces the teacher on clean images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.decoded_set import Pixels, open_pixels
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_subset import ImageSubset, hold_out
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.fidelity import fidelity

# 500 images of 32 pixels, 64 of 224: a minute for a ViT-B/16 on a laptop.
_MOST_IMAGES, _FEWEST_IMAGES, _PIXELS = 500, 64, 64 * 224 * 224


class FidelityCheck:
    """The images of the check, and the teacher's features of them.

    Uses the images that were held out of training, or some of the training images where none was.
    """

    def __init__(
        self,
        source: ImageSource,
        teacher: Encoder,
        compute: Compute,
        on_progress: ProgressCallback,
    ) -> None:
        _, held_out = hold_out(source)
        self.held_out, self._compute = held_out is not None, compute
        side = teacher.spec.input_size
        self._on_progress = on_progress
        self._images = _some(held_out or source, side, on_progress)
        self._teacher = self._features(teacher, 0)

    def result(self, student: Encoder) -> dict[str, Any]:
        """`cosine`, `overlap` and `score` as in evaluation/fidelity.py, `images` and `held_out`.

        Empty for fewer than 3 images, which have no neighbours to compare.
        """
        if len(self._images) < 3:
            return {}
        found = fidelity(self._features(student, len(self._images)), self._teacher)
        return {**asdict(found), "images": len(self._images), "held_out": self.held_out}

    def _features(self, encoder: Encoder, done_before: int) -> Tensor:
        total = 2 * len(self._images)
        return features(
            encoder,
            self._images,
            self._compute,
            on_progress=lambda done, _: self._on_progress(
                Progress("check", done_before + done, total)
            ),
        )


def most_checked(side: int) -> int:
    """The largest number of images of `side` pixels that are checked."""
    return min(_MOST_IMAGES, max(_FEWEST_IMAGES, _PIXELS // side**2))


def _some(source: ImageSource, side: int, on_progress: ProgressCallback) -> Pixels:
    most = most_checked(side)
    if len(source) > most:
        source = ImageSubset(source, evenly_spaced(most, len(source)))
    return open_pixels(
        source,
        side,
        progress=lambda done, total: on_progress(Progress("decode", done, total)),
    )
