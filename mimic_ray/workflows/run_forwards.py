"""The forward passes of a purification outside of its steps."""

from __future__ import annotations

from typing import NamedTuple

from mimic_ray.execution.fidelity_check import most_checked
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.training_size import too_little
from mimic_ray.scanning.openings import SCAN_FORWARDS
from mimic_ray.scanning.training_changes import enough_images


class RunForwards(NamedTuple):
    """Images of the profile, which is computed in float32, and of the search for openings with the
    checks at the end.
    """

    profiled: int
    checked: int


def run_forwards(recipe: Recipe, images: int, side: int, scan: bool | None = None) -> RunForwards:
    """Of `purify` with images of `side` pixels; `scan` as given there."""
    checked = 2 * min(most_checked(side), images)
    if scan or (scan is None and not too_little(recipe, images)):
        checked += 2 * SCAN_FORWARDS["full"]  # the suspect and the student
    checked += searched(recipe, images)
    return RunForwards(2 * min(recipe.mutual_information.images, images), checked)


def searched(recipe: Recipe, images: int) -> int:
    """Images of the search for openings; one with a gradient counts as three."""
    used = recipe.openings.active and enough_images(images)
    return SCAN_FORWARDS[recipe.openings.effort] if used else 0
