"""Suspicion: how strongly a student still responds to universal changes of its input.

Measured without the trigger, from clean unlabelled images, the teacher and trusted encoders.
docs/measurements compares the ranking of students by each component with their ASR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.base.effort import Effort
from mimic_ray.base.progress import StepCallback
from mimic_ray.base.spacing import evenly_spaced
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import frozen
from mimic_ray.evaluation.suspicion.inversion import inversion
from mimic_ray.evaluation.suspicion.occlusion import occlusion
from mimic_ray.evaluation.suspicion.universal import FAMILIES, SCREENED_ON, screen, universal


@dataclass(frozen=True)
class _Budget:
    images: int  # one half to search for changes, one half to measure
    candidates: int  # changes of each family that are screened on the student
    teacher_changes: int  # changes of each family that were found on the teacher
    inversion_steps: int
    inversion_batch: int
    positions: int


_BUDGETS: dict[Effort, _Budget] = {
    "quick": _Budget(64, 12, 3, 20, 16, 3),
    "full": _Budget(128, 32, 8, 40, 32, 6),
}
# Screened once for a whole search, for "full" in 10 CPU seconds for a ResNet-20.
_TEACHER_CANDIDATES: dict[Effort, int] = {"quick": 96, "full": 384}
# A forward and a backward pass to the input, in forward passes.
_WITH_GRADIENT = 3
_STUDENT_CHANGES = 2
_MIN_IMAGES = 4  # two in each half, because concentration needs pairs


@dataclass(frozen=True)
class Suspicion:
    """Three components in [0, 1] and their mean `score`, which a search minimises.

    `inversion` is 1/2 if the mask is as large as the smallest one of the trusted encoders.
    """

    universal: float
    inversion: float
    occlusion: float
    score: float


@dataclass(frozen=True)
class TrustedScores:
    """The values that students are compared with. Plain data for pickle and JSON."""

    # Sizes of the inverted masks of the trusted encoders, by effort.
    masks: Mapping[Effort, tuple[float, ...]]
    # Keys of the changes that the teacher responds to, by family; empty without a teacher.
    teacher_changes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def trusted_scores(
    encoders: Sequence[Encoder],
    images: Tensor,
    compute: Compute,
    seed: int,
    teacher: Encoder | None = None,
    effort: Effort = "full",
    on_progress: StepCallback = lambda done, total: None,
) -> TrustedScores:
    """The reference values of a search, computed once on the images that score its students.

    `encoders` have the student's architecture and no backdoor; random weights are sufficient. With
    the suspect encoder as `teacher`, students are also tested with the changes that it responds to.
    With `effort` "quick" they serve for quick scores only. `on_progress` gets the number of images
    that went through an encoder, and about how many will.
    """
    done, total = 0, trusted_forwards(len(encoders), effort)

    def on_images(images: int) -> None:
        nonlocal done
        done += images
        on_progress(min(done, total), total)

    masks = {
        each: tuple(_mask(encoder, images, compute, seed, each, on_images) for encoder in encoders)
        for each in _efforts(effort)
    }
    if teacher is None:
        return TrustedScores(masks)
    kept = max(budget.teacher_changes for budget in _BUDGETS.values())
    with frozen(teacher, compute):
        search_images, _ = _halves(images, _BUDGETS["full"], compute)
        teacher_changes = screen(
            teacher,
            search_images,
            compute,
            seed,
            candidates=_TEACHER_CANDIDATES[effort],
            kept=kept,
            on_images=on_images,
        )
    return TrustedScores(masks, teacher_changes)


def suspicion(
    student: Encoder,
    trusted: TrustedScores,
    images: Tensor,
    compute: Compute,
    seed: int,
    effort: Effort = "full",
) -> Suspicion:
    """The suspicion of a student on images [N, 3, S, S], uint8 or in [0, 1], N >= 4.

    The student must not have been trained on the images, and is not changed. Equal arguments give
    equal bits in one CPU process. Raises ValueError for fewer than 4 images.
    """
    budget = _BUDGETS[effort]
    search_images, test_images = _halves(images, budget, compute)
    with frozen(student, compute):
        own = screen(
            student,
            search_images,
            compute,
            seed,
            candidates=budget.candidates,
            kept=_STUDENT_CHANGES,
        )
        response = universal(student, test_images, own, search_images, compute)
        if trusted.teacher_changes:
            # Pasted parts come from the images of the screening on the teacher.
            donors, _ = _halves(images, _BUDGETS["full"], compute)
            teacher_changes = {
                family: keys[: budget.teacher_changes]
                for family, keys in trusted.teacher_changes.items()
            }
            response = (
                response + universal(student, test_images, teacher_changes, donors, compute)
            ) / 2
        covered = occlusion(student, test_images, compute, seed, positions=budget.positions)
    usual = min(trusted.masks[effort], default=1.0)
    mask = _mask(student, images, compute, seed, effort)
    small = usual / (usual + mask)
    return Suspicion(response, small, covered, (response + small + covered) / 3)


def trusted_forwards(trusted: int, effort: Effort) -> int:
    """About how many forward passes of one image `trusted_scores` takes."""
    inverted = sum(_inversion_forwards(_BUDGETS[each]) for each in _efforts(effort))
    return trusted * inverted + len(FAMILIES) * _TEACHER_CANDIDATES[effort] * SCREENED_ON


def suspicion_forwards(effort: Effort) -> int:
    """About how many forward passes of one image `suspicion` takes."""
    budget = _BUDGETS[effort]
    half = budget.images // 2
    screened = len(FAMILIES) * budget.candidates * SCREENED_ON
    measured = len(FAMILIES) * (_STUDENT_CHANGES + budget.teacher_changes) * half
    return screened + measured + (budget.positions + 1) * half + _inversion_forwards(budget)


def _inversion_forwards(budget: _Budget) -> int:
    return _WITH_GRADIENT * budget.inversion_steps * min(budget.inversion_batch, budget.images // 2)


def _efforts(effort: Effort) -> tuple[Effort, ...]:
    """The efforts of scores in a search of this effort: the rungs of a full one are quick."""
    return ("quick",) if effort == "quick" else ("quick", "full")


def _mask(
    encoder: Encoder,
    images: Tensor,
    compute: Compute,
    seed: int,
    effort: Effort,
    on_images: Callable[[int], None] = lambda images: None,
) -> float:
    budget = _BUDGETS[effort]
    search_images, _ = _halves(images, budget, compute)
    with frozen(encoder, compute):
        return inversion(
            encoder,
            search_images,
            compute,
            seed,
            steps=budget.inversion_steps,
            batch=budget.inversion_batch,
            # A step has a backward pass as well.
            on_images=lambda images: on_images(_WITH_GRADIENT * images),
        )


def _halves(images: Tensor, budget: _Budget, compute: Compute) -> tuple[Tensor, Tensor]:
    """The images to search with and the images to measure with, in [0, 1], on the device.

    Evenly spaced and alternating, so that both halves have all classes of sorted images. Raises
    ValueError for fewer than 4 images.
    """
    if len(images) < _MIN_IMAGES:
        raise ValueError(f"suspicion needs at least {_MIN_IMAGES} images, got {len(images)}")
    chosen = images[evenly_spaced(budget.images, len(images))].to(compute.torch_device)
    shown = chosen if chosen.is_floating_point() else to_float(chosen)
    return shown[::2].to(torch.float32), shown[1::2].to(torch.float32)
