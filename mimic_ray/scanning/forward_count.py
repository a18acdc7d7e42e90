"""Progress of a scan: the images that went through an encoder, of all that will."""

from __future__ import annotations

from collections.abc import Callable

from mimic_ray.base.progress import StepCallback

# What a forward pass with a gradient counts as, about what it takes.
WITH_GRADIENT = 3

# Takes the number of images of a batch that went through the encoder.
CountImages = Callable[[int], None]


class ForwardCount:
    """Reports the count after each batch, so that a stop request is heard within one.

    `on_step` may raise, which ends the scan.
    """

    def __init__(self, total: int, on_step: StepCallback) -> None:
        self._done, self._total, self._on_step = 0, total, on_step
        on_step(0, total)

    def add(self, images: int) -> None:
        """One more batch of so many images is done."""
        self._done += images
        self._on_step(self._done, self._total)


def uncounted(images: int) -> None:
    """Counts nothing."""
