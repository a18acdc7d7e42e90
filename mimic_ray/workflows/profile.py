"""The profile alone: which layers of an encoder tell how much of its feature."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mimic_ray.base import devices
from mimic_ray.base.errors import DataError
from mimic_ray.base.output_folder import Out
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.base.text import count
from mimic_ray.data.cache import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.encoders.load import load_checkpoint
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.execution.setup import cached_side, profile_images
from mimic_ray.method.mi_profile import Profile
from mimic_ray.report.plots import plot_profile
from mimic_ray.store.profile_file import write_profile
from mimic_ray.store.recipe_file import load_recipe


def profile_checkpoint(
    encoder: str,
    teacher: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    recipe: str = "auto",
    settings: Iterable[str] = (),
    device: str = "auto",
    threads: int = 0,
    on_progress: ProgressCallback = ignore_progress,
) -> Profile:
    """Scores every tap of the checkpoint; with `out`, also profile.parquet and profile.png there.

    Raises a MimicError for a file, image set or recipe that cannot be used.
    """
    resolved = load_recipe(recipe, settings)
    target = Out(out) if out else None
    loaded = load_checkpoint(teacher, encoder)
    resolved = load_recipe(recipe, settings, loaded.encoder.spec.input_size)
    chosen_taps(loaded.encoder.spec, resolved.mutual_information.taps)
    source = open_images(data)
    compute = devices.choose(device, "fp32", threads)
    side = cached_side(resolved, loaded.encoder.spec.input_size)
    images = open_pixels(
        source, side, progress=lambda done, total: on_progress(Progress("decode", done, total))
    )
    if len(images) < 8:
        raise DataError(
            f"{source.location} holds {count(len(images), 'image')}: a profile needs at least 8, "
            "and some hundreds to mean anything."
        )
    found = profile_images(encoder, loaded.encoder, images, resolved, compute, on_progress)
    if target:
        with target.new_folder() as unfinished:
            write_profile(unfinished / "profile.parquet", found)
            plot_profile(found, unfinished / "profile.png")
    return found
