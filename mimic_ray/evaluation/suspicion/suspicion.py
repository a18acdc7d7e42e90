"""Suspicion of a student: does it still answer to something universal?

Trigger-blind: from clean unlabelled images, the teacher, and encoders that no attacker touched.
How the parts rank students against what a trigger does to them is in docs/measurements.
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
    images: int  # half to search, half to judge
    candidates: int  # of each family, screened on the student
    openings: int  # of each family, found on the teacher
    inversion_steps: int
    inversion_batch: int
    places: int


_BUDGETS: dict[Effort, _Budget] = {
    "quick": _Budget(64, 12, 3, 20, 16, 3),
    "full": _Budget(128, 32, 8, 40, 32, 6),
}
# Once for a whole search: 10 CPU seconds of a ResNet-20.
_CANDIDATES_OF_TEACHER = 384
_KEPT_OF_STUDENT = 2
_LEAST_IMAGES = 4  # two in each half: concentration is of pairs


@dataclass(frozen=True)
class Suspicion:
    """Each in [0, 1], better low; `score`, what a search minimises, is the mean of the three.

    `inversion` is 1/2 where the mask is as large as the smallest of the untouched encoders.
    """

    universal: float
    inversion: float
    occlusion: float
    score: float


@dataclass(frozen=True)
class Untouched:
    """What students are compared with. Plain data: it pickles and goes into JSON."""

    # Sizes of the inverted masks of encoders that no attacker touched, by effort.
    masks: Mapping[Effort, tuple[float, ...]]
    # Keys of changes that the teacher answers to, by family; none where it was not asked.
    openings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def untouched_scores(
    encoders: Sequence[Encoder],
    images: Tensor,
    compute: Compute,
    seed: int,
    teacher: Encoder | None = None,
) -> Untouched:
    """Computed once for all students of a search, on the images that will judge them.

    `encoders`: of the student's architecture; random weights will do where there is nothing else.
    With the `teacher`, the encoder under suspicion, students are asked for what it answers to.
    """
    masks = {
        effort: tuple(_mask(encoder, images, compute, seed, effort) for encoder in encoders)
        for effort in _BUDGETS
    }
    if teacher is None:
        return Untouched(masks)
    kept = max(budget.openings for budget in _BUDGETS.values())
    with frozen(teacher, compute):
        sought, _ = _halves(images, _BUDGETS["full"], compute)
        openings = screen(
            teacher, sought, compute, seed, candidates=_CANDIDATES_OF_TEACHER, kept=kept
        )
    return Untouched(masks, openings)


def suspicion(
    student: Encoder,
    untouched: Untouched,
    images: Tensor,
    compute: Compute,
    seed: int,
    effort: Effort = "full",
) -> Suspicion:
    """Images [N, 3, S, S], uint8 or in [0, 1], that the student was not trained on; N >= 4.

    Leaves the student as it was. Equal arguments give equal bits on one CPU process. Raises
    ValueError for fewer images.
    """
    budget = _BUDGETS[effort]
    sought, judged = _halves(images, budget, compute)
    with frozen(student, compute):
        own = screen(
            student,
            sought,
            compute,
            seed,
            candidates=budget.candidates,
            kept=_KEPT_OF_STUDENT,
        )
        answer = universal(student, judged, own, sought, compute)
        if untouched.openings:
            # Pasted parts come from the images that the teacher was screened with.
            donors, _ = _halves(images, _BUDGETS["full"], compute)
            openings = {
                family: keys[: budget.openings] for family, keys in untouched.openings.items()
            }
            answer = (answer + universal(student, judged, openings, donors, compute)) / 2
        covered = occlusion(student, judged, compute, seed, places=budget.places)
    usual = min(untouched.masks[effort], default=1.0)
    mask = _mask(student, images, compute, seed, effort)
    small = usual / (usual + mask)
    return Suspicion(answer, small, covered, (answer + small + covered) / 3)


def _mask(encoder: Encoder, images: Tensor, compute: Compute, seed: int, effort: Effort) -> float:
    budget = _BUDGETS[effort]
    sought, _ = _halves(images, budget, compute)
    with frozen(encoder, compute):
        return inversion(
            encoder,
            sought,
            compute,
            seed,
            steps=budget.inversion_steps,
            batch=budget.inversion_batch,
        )


def _halves(images: Tensor, budget: _Budget, compute: Compute) -> tuple[Tensor, Tensor]:
    """The images to search with and those to judge with, [0, 1], on the device.

    Every second one, so that an order of the images by kind does no harm. Raises ValueError for
    fewer than 4 images.
    """
    if len(images) < _LEAST_IMAGES:
        raise ValueError(f"suspicion needs {_LEAST_IMAGES} images at least, got {len(images)}")
    chosen = images[: budget.images].to(compute.torch_device)
    shown = chosen if chosen.is_floating_point() else to_float(chosen)
    return shown[::2].to(torch.float32), shown[1::2].to(torch.float32)
