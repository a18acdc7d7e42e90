"""Whether a training is long enough to remove a backdoor, by what was measured."""

from __future__ import annotations

from mimic_ray.base.text import count
from mimic_ray.method.recipe import Recipe

# Below these a run is a trial of the command, not a purification. 960 images seen left 95 % of an
# attack at 224 pixels: docs/measurements/large-encoders_cpu_2026-11.md
_FEWEST_IMAGES, _FEWEST_SEEN = 500, 100 * 64
_NEXT_TO_NOTHING = 1000  # images seen


def too_little(recipe: Recipe, images: int) -> str:
    """A warning for a run that is too short, or has too few images; "" for others."""
    seen = recipe.training.steps * recipe.training.batch
    if images >= _FEWEST_IMAGES and seen >= _FEWEST_SEEN:
        return ""
    effect = "next to nothing" if seen < _NEXT_TO_NOTHING else "little"
    return (
        f"{count(images, 'image')} and {count(recipe.training.steps, 'step')} of "
        f"{recipe.training.batch} purify {effect}: a backdoor is probably still there. Removal was "
        "measured with 2,000 images and 200 steps of 64 or more."
    )
