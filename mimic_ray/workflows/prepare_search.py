"""What a search computes once for all of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base import devices
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.data.cache import Pixels, open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.labelled import Labelled
from mimic_ray.data.views import centre, to_float
from mimic_ray.encoders.load import Loaded, load_checkpoint
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.suspicion.suspicion import untouched_scores
from mimic_ray.execution.setup import cache_teacher, cached_side, profile_images, untrained
from mimic_ray.execution.shared_inputs import (
    ArrayImages,
    OracleInputs,
    PlacedImages,
    TrialInputs,
    split,
)
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.teacher_cache import teacher_cache_key
from mimic_ray.workflows.evaluate_images import Backdoor, EvaluationImages

# More than this is not sent to the trials: each machine opens the images itself.
_SENT_BYTES = 2 << 30
_ORACLE_TRAIN, _ORACLE_TEST = 5000, 2000


@dataclass(frozen=True)
class Oracle:
    """For research: what a defender does not have."""

    train: str
    test: str
    trigger: str
    target: str

    def described(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True)
class Prepared:
    """What the space and the record need to know of the inputs of the trials."""

    taps: list[str]
    shares: list[float]
    teacher_forwards: int
    compute: Compute


def prepare(
    encoder: str,
    loaded: Loaded,
    data: str,
    base: Recipe,
    on_progress: ProgressCallback,
    *,
    trials: int,
    with_attention: bool,
    held_out: float,
    untouched: Sequence[str | Path],
    oracle: Oracle | None,
    device: str,
    threads: int,
) -> tuple[Prepared, TrialInputs]:
    """Decodes, splits, profiles, and asks the teacher all that trials will want to know.

    On whatever machine it runs, `data` is opened there. `with_attention`: trials may have an
    attention term. Raises a MimicError for what cannot be used.
    """
    compute = devices.choose(device, base.training.precision, threads)
    teacher = loaded.encoder
    counted = _Counted()
    hook = teacher.register_forward_pre_hook(counted)
    side = cached_side(base, teacher.spec.input_size)
    pixels = open_pixels(
        open_images(data),
        side,
        progress=lambda done, total: on_progress(Progress("decode", done, total)),
    )
    rows, kept_back = split(pixels, held_out, base.training.seed, base.training.batch)
    images = _images(pixels, rows, data)
    apart = _shown(pixels, kept_back, teacher.spec.input_size)
    # Before the long work: labelled images that cannot be used.
    known = _oracle_inputs(oracle, teacher.spec.input_size, on_progress) if oracle else None

    found = profile_images(encoder, teacher, images, base, compute, on_progress)
    taps = [tap.tap for tap in found.taps]
    teacher_cache = cache_teacher(
        teacher,
        images,
        base,
        taps if with_attention else [],
        compute,
        teacher_cache_key(base, images.fingerprint, encoder),
        on_progress,
        runs=trials,
    )
    of_teacher = features(teacher, ArrayImages(apart), compute)
    hook.remove()
    on_progress(Progress("untouched", 0, 1))
    references = [untrained(encoder, base.training.seed)]
    references += [load_checkpoint(place, encoder).encoder for place in untouched]
    of_untouched = untouched_scores(
        references, torch.from_numpy(apart), compute, base.training.seed, teacher=teacher
    )
    on_progress(Progress("untouched", 1, 1))
    inputs = TrialInputs(
        teacher={k: v.cpu().numpy() for k, v in teacher.net.state_dict().items()},
        images=images,
        held_out=apart,
        held_out_features=of_teacher.numpy(),
        profile=found.to_json(),
        profile_settings=base.mutual_information.model_dump(),
        teacher_cache=teacher_cache,
        untouched=of_untouched,
        oracle=known,
    )
    return Prepared(taps, [tap.share for tap in found.taps], counted.images, compute), inputs


class _Counted:
    """Counts the images that go through an encoder."""

    images = 0

    def __call__(self, module: object, given: tuple[Tensor, ...]) -> None:  # noqa: ARG002
        self.images += len(given[0])


def _images(pixels: Pixels, rows: Tensor, data: str) -> ArrayImages | PlacedImages:
    if len(rows) * 3 * pixels.side**2 > _SENT_BYTES:
        return PlacedImages(
            data, pixels.side, rows.numpy(), pixels.fingerprint, list(pixels.broken)
        )
    gathered = np.concatenate([pixels.gather(part).numpy() for part in rows.split(256)])
    return ArrayImages(gathered, pixels.fingerprint, list(pixels.broken))


def _shown(pixels: Pixels, rows: Tensor, side: int) -> np.ndarray:
    """uint8 [M, 3, S, S]: the images as an encoder is tested on them."""
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
        raise UsageError("--oracle needs --trigger.")
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
