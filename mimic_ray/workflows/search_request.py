"""What a search is asked to try: a base recipe, and the dimensions that are laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import UsageError
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.search.kept_layers import distinct_thresholds
from mimic_ray.search.space import (
    Dimension,
    Space,
    changed,
    check_space,
    default_space,
    parse_dimension,
)
from mimic_ray.store.recipe_file import load_search

# Views that come again, so that the teacher is asked once for all trials.
_FIXED_VIEWS = 4
# Keys that decide the scores of a profile, not only what is done with them.
_ESTIMATE = {
    f"mutual_information.{name}"
    for name in ("of", "estimator", "images", "epochs", "noise", "taps")
}


@dataclass(frozen=True)
class Wanted:
    """The base recipe, and what of it is searched."""

    base: Recipe
    dimensions: Sequence[Dimension]
    pinned: Sequence[str]
    only_these: bool

    @classmethod
    def of(
        cls,
        recipe: str | Path | Recipe,
        settings: list[str],
        search: list[str],
        only_these: bool,
        side: int | None = None,
    ) -> Wanted:
        base, in_file = load_search(recipe, settings, side)
        pinned = [setting.partition("=")[0].strip() for setting in settings]
        entries = {**in_file, **dict(map(_entry, search))}
        dimensions = [parse_dimension(key, text) for key, text in entries.items()]
        if base.views.asymmetric and not base.views.fixed and "views.fixed" not in pinned:
            content = base.model_dump(mode="json")
            content["views"]["fixed"] = _FIXED_VIEWS
            base = parse_recipe(content)
        return cls(base, dimensions, pinned, only_these)

    def space(self, shares: Sequence[float] | None) -> Space:
        """Checked. `shares` of the profile decide the sets of kept layers; None: not known yet."""
        thresholds = distinct_thresholds(shares) if shares else [0.0]
        default = Space(()) if self.only_these else default_space(self.base, thresholds)
        space = changed(default, self.dimensions, self.pinned)
        check_space(space, self.base.model_dump(mode="json"))
        return space

    def may_attend(self) -> bool:
        """Whether a trial may have an attention term."""
        searched = "loss.attention" in self.space(None).described()
        return searched or self.base.loss.attention > 0

    def own_profiles(self) -> bool:
        """Whether trials estimate mutual information each in its way."""
        return any(dimension.key in _ESTIMATE for dimension in self.dimensions)


def _entry(text: str) -> tuple[str, str]:
    key, equals, values = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f'"{text}" is no search: write KEY=VALUES, for example '
            "training.learning_rate=loguniform(1e-4,1e-2)."
        )
    return key.strip(), values
