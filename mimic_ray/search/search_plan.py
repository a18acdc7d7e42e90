"""What a search tries and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mimic_ray.method.recipe import Recipe
from mimic_ray.search.relevance import canonical
from mimic_ray.search.space import Space


@dataclass(frozen=True)
class SearchPlan:
    """`shares` are those of the shared profile, None where trials estimate their own."""

    encoder: str
    space: Space
    base: Recipe
    shares: Sequence[float] | None
    trials: int
    seed: int
    # The search ends when more of its trials than this share have failed.
    failed_share: float = 0.25
    early_stopping: bool = True
    device: str = "auto"
    threads: int = 0
    trackers: Sequence[str] = ()

    def is_base(self, recipe: Recipe) -> bool:
        """Whether a canonical recipe is the base recipe, to which the others are compared."""
        return recipe == canonical(self.base, self.shares)

    def rungs(self, recipe: Recipe) -> tuple[int, ...]:
        """Steps after which a trial of this recipe may be ended early: at 1/4 and at 1/2."""
        if self.is_base(recipe) or not self.early_stopping:
            return ()
        steps = recipe.training.steps
        rungs = sorted({max(1, steps // 4), max(2, steps // 2)})
        return tuple(rung for rung in rungs if rung < steps)
