"""Suspicion of a student: does it still answer to something small and universal?

Trigger-blind: clean unlabelled images and, for the inversion, encoders that no attacker touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.data.views import to_float
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.scan.frozen import frozen
from mimic_ray.scan.inversion import inversion
from mimic_ray.scan.occlusion import occlusion
from mimic_ray.scan.universal import universal

Effort = Literal["quick", "full"]


@dataclass(frozen=True)
class _Budget:
    images: int
    slots_per_basis: int
    steps: int
    inversion_steps: int
    places: int


_BUDGETS: dict[str, _Budget] = {
    "quick": _Budget(64, 1, 8, 10, 2),
    "full": _Budget(256, 3, 16, 40, 4),
}


@dataclass(frozen=True)
class Suspicion:
    """Each in [0, 1], better low. `score` is what a search minimises."""

    universal: float
    inversion: float
    occlusion: float
    score: float


@dataclass(frozen=True)
class Untouched:
    """What the same examination found on encoders that no attacker touched. Plain data."""

    masks: dict[str, tuple[float, ...]]  # sizes of inverted masks, by effort


def untouched_scores(
    encoders: Sequence[Encoder], images: Tensor, compute: Compute, seed: int
) -> Untouched:
    """Computed once for all students of a search, on the images that will judge them."""
    masks: dict[str, tuple[float, ...]] = {}
    for effort, budget in _BUDGETS.items():
        found = []
        for encoder in encoders:
            with frozen(encoder, compute):
                shown = _shown(images, budget.images, compute)
                found.append(inversion(encoder, shown, compute, seed, steps=budget.inversion_steps))
        masks[effort] = tuple(found)
    return Untouched(masks)


def suspicion(
    student: Encoder,
    untouched: Untouched,
    images: Tensor,
    compute: Compute,
    seed: int,
    effort: Effort = "full",
) -> Suspicion:
    """Images [N, 3, S, S], uint8 or in [0, 1], that the student was not trained on.

    Leaves the student as it was. Equal arguments give equal bits on one CPU process.
    """
    budget = _BUDGETS[effort]
    shown = _shown(images, budget.images, compute)
    with frozen(student, compute):
        answer = universal(
            student,
            shown,
            compute,
            seed,
            slots_per_basis=budget.slots_per_basis,
            steps=budget.steps,
        )
        mask = inversion(student, shown, compute, seed, steps=budget.inversion_steps)
        covered = occlusion(student, shown, compute, seed, places=budget.places)
    usual = max(untouched.masks[effort], default=1.0)
    found = min(max(1 - mask / usual, 0.0), 1.0)
    return Suspicion(answer, found, covered, (answer + found + covered) / 3)


def _shown(images: Tensor, limit: int, compute: Compute) -> Tensor:
    chosen = images[:limit].to(compute.torch_device)
    return to_float(chosen) if not chosen.is_floating_point() else chosen.float()
