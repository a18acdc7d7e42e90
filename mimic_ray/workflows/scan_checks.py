"""What a scan refuses before its work, also for a job that is about to be sent."""

from __future__ import annotations

from pathlib import Path

import torch

from mimic_ray.base.errors import UsageError, option
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.labelled import open_some
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.scanning.scan_images import MOST, require_images
from mimic_ray.workflows.evaluated_encoders import refuse_statistics_of_runs
from mimic_ray.workflows.sent_inputs import can_see, check_new_folder, input_side


def check_reference(reference: str | Path | None, reference_encoder: str | None) -> None:
    """Raises UsageError for the architecture of a reference that was not given."""
    if reference_encoder and not reference:
        raise UsageError(
            f"{option('reference_encoder')} has no effect without {option('reference')}."
        )


def refuse_equal_weights(
    reference: str | Path | None, suspect: Encoder, trusted: Encoder | None
) -> None:
    """Raises UsageError for the suspect encoder as its own reference, in whatever file."""
    if trusted is None:
        return
    own, others = suspect.net.state_dict(), trusted.net.state_dict()
    if own.keys() == others.keys() and all(torch.equal(own[key], others[key]) for key in own):
        raise UsageError(
            f"{option('reference', str(reference))} has the weights of the suspect encoder, so "
            "nothing could stand out against it: give an encoder from a source that you trust."
        )


def open_clean(data: str | Path) -> ImageSource:
    """As many of the clean images as a scan looks at. Raises DataError for too few."""
    source = open_some(data, MOST)
    require_images(len(source), source.location)
    return source


def check_scan(
    encoder: str | None,
    teacher: str,
    data: str,
    out: str | None,
    *,
    reference: str | None,
    reference_encoder: str | None,
    sees_paths: bool,
) -> None:
    """Raises what `scan` would raise for its names, output and images.

    Local paths only if `sees_paths`; images and runs on object storage are not opened. Reads no
    weights and decodes no image.
    """
    check_reference(reference, reference_encoder)
    check_new_folder(out, sees_paths=sees_paths)
    if can_see(teacher, sees_paths=sees_paths):
        refuse_statistics_of_runs(encoder, [teacher])
    for name in (encoder, reference_encoder):
        input_side(name)
    if can_see(data, sees_paths=sees_paths):
        open_clean(data)
