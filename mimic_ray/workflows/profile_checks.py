"""What a profile refuses before its work, also for a job that is about to be sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mimic_ray.base.errors import DataError
from mimic_ray.base.text import count
from mimic_ray.base.user_code import is_user_code
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.image_source import open_announced
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.meta_device import meta_device
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.method.recipe import Recipe, check_recipe
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.workflows.sent_inputs import can_see, check_new_folder, input_side

_FEWEST_IMAGES = 8


def profile_recipe(
    encoder: str | None, recipe: str | Path | Recipe, settings: Iterable[str]
) -> Recipe:
    """The recipe whose settings of the estimate are used. Raises UsageError or RecipeError."""
    # Of ":normalise=half", which names statistics only, the recipe does not depend.
    named = None if encoder is None or encoder.startswith(":") else encoder
    resolved = load_recipe(recipe, settings, named)
    check_recipe(resolved)
    return resolved


def open_scored(data: str | Path) -> ImageSource:
    """The clean images of a profile. Raises DataError for too few."""
    source = open_announced(data)
    if len(source) < _FEWEST_IMAGES:
        raise DataError(
            f"{source.location} has {count(len(source), 'image')}, but a profile needs at least "
            f"{_FEWEST_IMAGES}, preferably several hundred."
        )
    return source


def check_profile(
    encoder: str | None,
    data: str,
    out: str | None,
    *,
    recipe: str,
    settings: Iterable[str],
    sees_paths: bool,
) -> None:
    """Raises what `profile` would raise for its recipe, output and images.

    Local paths only if `sees_paths`; images on object storage are not opened. Without an `encoder`,
    which the job then finds, a recipe that depends on it is left to the job. Reads no weights and
    decodes no image.
    """
    input_side(encoder)
    if encoder is not None or recipe != "auto":
        taps = profile_recipe(encoder, recipe, settings).mutual_information.taps
        if encoder is not None and not is_user_code(encoder):
            with meta_device():
                spec = encoder_registry.build(encoder).spec
            chosen_taps(spec, taps)
    check_new_folder(out, sees_paths=sees_paths)
    if can_see(data, sees_paths=sees_paths):
        open_scored(data)
