"""Images to train heads on and images to test them on: two sets, which must differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import count, plain
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_source import open_announced
from mimic_ray.data.labelled import Labelled, require_labels, some
from mimic_ray.data.left_out import LOGGER

_BATCH = 256


def open_train_and_test(
    train: str | Path, test: str | Path, train_limit: int | None, test_limit: int | None
) -> tuple[ImageSource, ImageSource]:
    """Both sets, at most `train_limit` and `test_limit` images of them. Decodes no image.

    Raises UsageError if they have the same content, wherever it lies and whatever the limits, and
    DataError if a set cannot be used or has no labels.
    """
    sources = open_announced(train), open_announced(test)
    # Two lengths suffice to see a difference; fingerprints read every file.
    if len(sources[0]) == len(sources[1]) and sources[0].fingerprint == sources[1].fingerprint:
        raise UsageError(
            f"{option('train')} and {option('test')} are the same images, so ACC would be that of "
            "images that the head has seen: give other test images."
        )
    for source in sources:
        require_labels(source)
    return some(sources[0], train_limit), some(sources[1], test_limit)


def count_shared(train: Labelled, test: Labelled) -> int:
    """The number of test images with the pixels of a training image. Logs a warning if above 0."""
    known = set(_digests(train.pixels))
    shared = sum(digest in known for digest in _digests(test.pixels))
    if shared:
        LOGGER.warning(
            "%s of the %s of %s are also in %s: heads have seen them, so ACC is too high. Use "
            "other test images.",
            f"{shared:,}",
            count(len(test.pixels), "image"),
            plain(test.location),
            plain(train.location),
        )
    return shared


def _digests(images: DecodedImages) -> Iterator[bytes]:
    for rows in torch.arange(len(images)).split(_BATCH):
        for image in images.gather(rows).numpy():
            yield hashlib.blake2b(image.tobytes(), digest_size=16).digest()
