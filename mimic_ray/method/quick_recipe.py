"""`--effort quick`: the same recipe with fewer steps and a profile of fewer images.

    training.steps              a third, rounded up
    mutual_information.images   at most 512
    openings.effort             "quick"

Everything else stays: batch, learning rate, schedule (which is a share of the steps) and
perturbations. A smaller batch instead of fewer steps costs accuracy (docs/measurements).
"""

from __future__ import annotations

from mimic_ray.base.effort import Effort
from mimic_ray.method.recipe import Recipe, parse_recipe

QUICK_IN_WORDS = (
    "a third of the recipe's steps, a profile of at most 512 images, and a quick search for "
    "openings, unless the command sets these keys itself"
)
_STEPS_SHARE, _MOST_PROFILED = 3, 512


def at_effort(recipe: Recipe, effort: Effort) -> Recipe:
    """The recipe for an effort: unchanged for "full"."""
    if effort == "full":
        return recipe
    content = recipe.model_dump(mode="json")
    content["training"]["steps"] = -(-recipe.training.steps // _STEPS_SHARE)
    profiled = content["mutual_information"]
    profiled["images"] = min(profiled["images"], _MOST_PROFILED)
    content["openings"]["effort"] = "quick"
    return parse_recipe(content)
