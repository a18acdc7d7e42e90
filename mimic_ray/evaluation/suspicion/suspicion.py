"""Suspicion: how strongly a student still responds to universal changes of its input.

Measured without the trigger, from clean unlabelled images, the teacher and trusted encoders.
docs/measurements compares the ranking of students by each component with their ASR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import frozen
from mimic_ray.evaluation.suspicion.inversion import inversion
from mimic_ray.evaluation.suspicion.occlusion import occlusion
from mimic_ray.evaluation.suspicion.universal import screen, universal

Effort = Literal["quick", "full"]


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
# Screened once for a whole search, in 10 CPU seconds for a ResNet-20.
_TEACHER_CANDIDATES = 384
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
) -> TrustedScores:
    """The reference values of a search, computed once on the images that score its students.

    `encoders` have the student's architecture and no backdoor; random weights are sufficient. With
    the suspect encoder as `teacher`, students are also tested with the changes that it responds to.
    """
    masks = {
        effort: tuple(_mask(encoder, images, compute, seed, effort) for encoder in encoders)
        for effort in _BUDGETS
    }
    if teacher is None:
        return TrustedScores(masks)
    kept = max(budget.teacher_changes for budget in _BUDGETS.values())
    with frozen(teacher, compute):
        search_images, _ = _halves(images, _BUDGETS["full"], compute)
        teacher_changes = screen(
            teacher, search_images, compute, seed, candidates=_TEACHER_CANDIDATES, kept=kept
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


def _mask(encoder: Encoder, images: Tensor, compute: Compute, seed: int, effort: Effort) -> float:
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
        )


def _halves(images: Tensor, budget: _Budget, compute: Compute) -> tuple[Tensor, Tensor]:
    """The images to search with and the images to measure with, in [0, 1], on the device.

    They alternate, so that both halves have all classes of sorted images. Raises ValueError for
    fewer than 4 images.
    """
    if len(images) < _MIN_IMAGES:
        raise ValueError(f"suspicion needs at least {_MIN_IMAGES} images, got {len(images)}")
    chosen = images[: budget.images].to(compute.torch_device)
    shown = chosen if chosen.is_floating_point() else to_float(chosen)
    return shown[::2].to(torch.float32), shown[1::2].to(torch.float32)
