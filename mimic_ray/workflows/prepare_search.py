"""The inputs that a search computes once for all of its trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base import devices, user_code
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.locations import absolute
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.decoded_set import Pixels, open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.labelled import Labelled
from mimic_ray.data.views import centre, to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.features import features
from mimic_ray.execution.setup import cache_teacher, cached_side, profile_images, search_openings
from mimic_ray.execution.shared_inputs import (
    ArrayImages,
    OracleInputs,
    TrialInputs,
    array_or_placed,
    split,
)
from mimic_ray.method.mi_profile import estimate_settings
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.student_start import untrained
from mimic_ray.method.teacher_cache import teacher_cache_key
from mimic_ray.scanning.training_changes import NOT_SEARCHED, search_settings
from mimic_ray.search.objectives.objective_registry import SearchInputs, objectives
from mimic_ray.weight_files.load import Loaded, load_checkpoint
from mimic_ray.workflows.evaluate_images import Backdoor, EvaluationImages
from mimic_ray.workflows.search_request import Oracle, SearchRequest, SearchSpec

_ORACLE_TRAIN, _ORACLE_TEST = 5000, 2000


@dataclass(frozen=True)
class PreparedSearch:
    """Facts about the inputs of the trials, for the search space and the study's record."""

    taps: list[str]
    shares: list[float]
    teacher_forwards: int
    compute: Compute
    notes: list[str]  # for the record of the study


def with_absolute_paths(request: SearchRequest) -> SearchRequest:
    """The request with absolute paths, because it may be prepared in another working folder."""
    oracle = request.oracle
    if oracle:
        oracle = replace(oracle, train=absolute(oracle.train), test=absolute(oracle.test))
    return replace(
        request,
        data=absolute(request.data),
        trusted=[absolute(checkpoint) for checkpoint in request.trusted],
        oracle=oracle,
        code_folder=user_code.current_folder(),
    )


def prepare_search(
    request: SearchRequest, spec: SearchSpec, loaded: Loaded, on_progress: ProgressCallback
) -> tuple[PreparedSearch, TrialInputs]:
    """Decodes and splits the images, profiles the teacher and caches its outputs for all trials.

    Runs where a trial would run, and opens the images there. Raises a MimicError for inputs that
    cannot be used.
    """
    with user_code.relative_to(request.code_folder):
        return _prepare_search(request, spec, loaded, on_progress)


def _prepare_search(
    request: SearchRequest, spec: SearchSpec, loaded: Loaded, on_progress: ProgressCallback
) -> tuple[PreparedSearch, TrialInputs]:
    base, teacher, encoder = spec.base, loaded.encoder, request.encoder
    side = teacher.spec.input_size
    compute = devices.choose(request.device, base.training.precision, request.threads)
    with _counted_images(teacher) as counted:
        pixels = open_pixels(
            open_images(request.data),
            cached_side(base, side),
            progress=lambda done, total: on_progress(Progress("decode", done, total)),
        )
        rows, held_out_rows = split(
            pixels, request.held_out, base.training.seed, base.training.batch
        )
        images = array_or_placed(pixels, rows, request.data)
        held_out = _resized(pixels, held_out_rows, side)
        # Opened before the long work, because its images may be unusable.
        oracle = _oracle_inputs(request.oracle, side, on_progress) if request.oracle else None

        profile = profile_images(encoder, teacher, images, base, compute, on_progress)
        taps = [tap.tap for tap in profile.taps]
        teacher_cache = cache_teacher(
            teacher,
            images,
            base,
            taps if spec.may_read_taps() else [],
            compute,
            teacher_cache_key(base, images.fingerprint, encoder),
            on_progress,
            runs=request.trials,
        )
        held_out_features = features(
            teacher,
            ArrayImages(held_out),
            compute,
            on_progress=lambda done, total: on_progress(Progress("held out", done, total)),
        )
    openings = search_openings(teacher, images, base, compute, on_progress)
    inputs = TrialInputs(
        teacher={k: v.cpu().numpy() for k, v in teacher.net.state_dict().items()},
        images=images,
        held_out=held_out,
        held_out_features=held_out_features.numpy(),
        profile=profile.to_json(),
        profile_settings=estimate_settings(base),
        teacher_cache=teacher_cache,
        prepared=_prepared_objectives(request, base, teacher, held_out, compute, on_progress),
        openings={k: v.numpy() for k, v in openings.state().items()} if openings else None,
        openings_settings=search_settings(base) if base.openings.active else {},
        oracle=oracle,
        effort=request.effort,
    )
    shares = [tap.share for tap in profile.taps]
    notes = [NOT_SEARCHED] if base.openings.active and openings is None else []
    return PreparedSearch(taps, shares, counted.images, compute, notes), inputs


def _prepared_objectives(
    request: SearchRequest,
    base: Recipe,
    teacher: Encoder,
    held_out: np.ndarray,
    compute: Compute,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """What each objective computes once; trusted are one random encoder and the request's."""
    on_progress(Progress("trusted", 0, 1))
    trusted = [untrained(request.encoder, base.training.seed)]
    trusted += [load_checkpoint(path, request.encoder).encoder for path in request.trusted]
    inputs = SearchInputs(
        teacher,
        trusted,
        ArrayImages(held_out),
        compute,
        base.training.seed,
        request.effort,
        lambda done, total: on_progress(Progress("trusted", done, total)),
    )
    return {name: objective.prepare(inputs) for name, objective in objectives().items()}


@contextmanager
def _counted_images(encoder: Encoder) -> Iterator[_Counted]:
    counted = _Counted()
    hook = encoder.register_forward_pre_hook(counted)
    try:
        yield counted
    finally:
        hook.remove()


class _Counted:
    """Counts the images that go through an encoder."""

    images = 0

    def __call__(self, module: object, inputs: tuple[Tensor, ...]) -> None:  # noqa: ARG002
        self.images += len(inputs[0])


def _resized(pixels: Pixels, rows: Tensor, side: int) -> np.ndarray:
    """uint8 [M, 3, S, S]: the images at the input size of the encoder."""
    parts = []
    for part in rows.split(128):
        seen = centre(to_float(pixels.gather(part)), side)
        parts.append((255 * seen).round().clamp(0, 255).to(torch.uint8).numpy())
    return np.concatenate(parts)


def _oracle_inputs(oracle: Oracle, side: int, on_progress: ProgressCallback) -> OracleInputs:
    backdoor = Backdoor(oracle.trigger, oracle.target)
    images = EvaluationImages(
        oracle.train, oracle.test, _ORACLE_TRAIN, _ORACLE_TEST, backdoor, on_progress
    )
    sets = images.at(side)
    trigger = sets.trigger
    if trigger is None:
        raise UsageError(f"{option('oracle')} needs {option('trigger')}.")
    return OracleInputs(
        train=_all(sets.train),
        train_labels=sets.train.labels.numpy(),
        test=_all(sets.test),
        test_labels=sets.test.labels.numpy(),
        classes=sets.train.class_count(),
        mask=trigger.mask.numpy(),
        add=trigger.add.numpy(),
        target=sets.target,
    )


def _all(labelled: Labelled) -> np.ndarray:
    return labelled.pixels.gather(torch.arange(len(labelled.pixels))).numpy()
