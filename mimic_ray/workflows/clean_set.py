"""A first look at the clean images and at what the suspect encoder makes of them."""

from __future__ import annotations

import torch

from mimic_ray.base.devices import Compute
from mimic_ray.data.clean_sample import announce_resizing, clean_sample, require_variety
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.constant_features import require_features
from mimic_ray.evaluation.suspicion.frozen import frozen, unit_features

# Of the sample: a moment on the CPU for a ViT-B/16.
_PASSED = 8


def check_clean_set(source: ImageSource, suspect: Encoder) -> None:
    """Refuses inputs that a purification cannot work on, before any work; changes no encoder.

    Looks at a few images, and at none on object storage. Logs a note if they are resized by more
    than a factor of two. Raises DataError if they are equal or each of one colour, CheckpointError
    if the encoder gives them all the same feature.
    """
    side, name = suspect.spec.input_size, suspect.spec.name
    sample = clean_sample(source, side)
    if sample is None:
        return
    announce_resizing(sample, side, name, source.location)
    require_variety(sample.images, source.location)
    compute = Compute("cpu", "fp32", torch.get_num_threads())
    some = sample.images[:_PASSED]
    if len(some) > 1:
        with frozen(suspect, compute), torch.no_grad():
            require_features(unit_features(suspect, some, compute), name, "purify")
