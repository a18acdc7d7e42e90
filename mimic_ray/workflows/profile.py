"""The mutual information profile of an encoder, without purifying it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mimic_ray.base import devices
from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.devices import restores_threads
from mimic_ray.base.output_folder import Out
from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.execution.setup import cached_side, profile_images
from mimic_ray.method.mi_profile import Profile
from mimic_ray.method.recipe import Recipe
from mimic_ray.report.plots import plot_profile
from mimic_ray.report.table_files import write_tables
from mimic_ray.report.tables import profile_table
from mimic_ray.store.profile_file import write_profile
from mimic_ray.weight_files.choice import chosen_encoder
from mimic_ray.weight_files.load import load_checkpoint
from mimic_ray.workflows.profile_checks import open_scored, profile_recipe


@checked_arguments
@restores_threads
def profile(
    encoder: str | None,
    teacher: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    recipe: str | Path | Recipe = "auto",
    settings: Iterable[str] = (),
    device: str = "auto",
    threads: int = 0,
    on_progress: ProgressCallback = ignore_progress,
) -> Profile:
    """Scores how strongly each layer of an encoder depends on its feature.

    The score depends on the estimator and its settings. Compare layers of one network,
    and each layer with the same network untrained. Scores of different networks are not comparable.

    Args:
        encoder: Architecture, as for `purify`; None finds it in the file.
        teacher: Checkpoint file of the encoder, or its address.
        data: Clean images, as for `purify`: at least 8, preferably several hundred.
        out: A new folder, or an address, for profile.parquet, the table as .csv, .tex and .md, and
            the figure as .png, .pdf and .svg.
        recipe: Its `mutual_information` section has the settings of the estimate.
        settings: Changes to the recipe, such as `mutual_information.estimator=infonce`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; 0 uses all.
        on_progress: Called with a `Progress` regularly.

    Returns:
        All layers in the order of the network, each with its `score` and its `share` of the sum;
        `to_frame()` gives them as a table.

    Raises:
        MimicError: UsageError, RecipeError, CheckpointError, DataError, StorageError or
            RunFolderError for invalid arguments and inputs, before any estimate.

    Example:
        found = mimic_ray.profile("resnet50", "suspect.pth", "images")
        for layer in found.taps:
            print(layer.tap, layer.score, layer.untrained)
    """
    encoder = chosen_encoder(teacher, encoder)
    resolved = profile_recipe(encoder, recipe, settings)
    target = Out(out) if out else None
    loaded = load_checkpoint(teacher, encoder)
    chosen_taps(loaded.encoder.spec, resolved.mutual_information.taps)
    source = open_scored(data)
    compute = devices.choose(device, "fp32", threads)
    side = cached_side(resolved, loaded.encoder.spec.input_size)
    images = open_pixels(
        source, side, progress=lambda done, total: on_progress(Progress("decode", done, total))
    )
    found = profile_images(encoder, loaded.encoder, images, resolved, compute, on_progress)
    if target:
        with target.new_folder() as unfinished:
            write_profile(unfinished / "profile.parquet", found)
            plot_profile(found, unfinished / "profile.png")
            write_tables(unfinished, "profile", profile_table(found))
    return found
