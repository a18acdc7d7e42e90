"""What a comparison refuses before its work, for a job that is about to be sent."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from mimic_ray.base.errors import StorageError
from mimic_ray.base.storage_address import is_remote
from mimic_ray.data.image_source import open_images
from mimic_ray.evaluation.heads import trained_head
from mimic_ray.store.comparison_store import RECORD, ComparisonStore, check_same, open_comparison
from mimic_ray.workflows.compare_request import CompareRequest, Labels, held_out_number
from mimic_ray.workflows.judge_defences import check_sources
from mimic_ray.workflows.sent_inputs import can_see, check_trigger, input_side


def check_comparison(
    request: CompareRequest, out: str | Path, *, resume: bool, sees_paths: bool
) -> None:
    """Raises what `compare` would raise for its output, images, labels and trigger.

    Local paths only if `sees_paths`; images on object storage are not opened, and an output that
    cannot be read is left to the job. Reads no weights and decodes no image.
    """
    side = input_side(request.encoder)
    if sees_paths or is_remote(out):
        with (
            suppress(StorageError),
            closing(open_comparison(out, f"reader-{os.getpid()}")) as store,
        ):
            if resume:
                _check_same(store, request)
            else:
                store.require_free()
    if can_see(request.data, sees_paths=sees_paths):
        source = open_images(request.data)
        held_out_number(len(source), request.held_out, source.location)
    if request.labels:
        _check_labels(request.labels, side, sees_paths=sees_paths)


def _check_labels(labels: Labels, side: int | None, *, sees_paths: bool) -> None:
    if not labels.head_from_file:
        trained_head(str(labels.head))
    check_trigger(labels.trigger, side, sees_paths=sees_paths)
    if can_see(labels.train, labels.test, sees_paths=sees_paths):
        check_sources(labels, None, None)


def _check_same(store: ComparisonStore, request: CompareRequest) -> None:
    """Of what is known without the weights and the images."""
    store.store.fetch_file(RECORD)
    earlier = store.read_record()
    wanted = replace(
        earlier,
        encoder=request.encoder or earlier.encoder,
        held_out=request.held_out,
        stop_rule=request.contest.stop_rule,
        defences={label: dict(each.settings) for label, each in request.defences.items()},
    )
    check_same(earlier, wanted)
