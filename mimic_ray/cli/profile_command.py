"""mimic-ray profile: mutual information by layer."""

from __future__ import annotations

from typing import Annotated

import typer

from mimic_ray.base.resources import Resources
from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import Kind

# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True


def check_before_sending(context: typer.Context, _resources: Resources, sees_paths: bool) -> None:
    """Raises what the command would refuse on the cluster, as far as this machine can tell."""
    given = context.params
    from mimic_ray.workflows.profile_checks import check_profile

    check_profile(
        options.encoder_of_job(given, sees_paths=sees_paths),
        given["data"],
        given["out"],
        recipe=given["recipe"],
        settings=given["setting"] or [],
        sees_paths=sees_paths,
    )


def command(
    *,
    encoder: options.Encoder = None,
    teacher: options.Teacher,
    data: options.Data,
    out: Annotated[
        str | None,
        typer.Option(
            help="New folder for profile.parquet, the table (.csv, .tex, .md) and the figure "
            "(.png, .pdf, .svg), or s3://bucket/folder."
        ),
        Kind.OUTPUT,
    ] = None,
    recipe: options.RecipeName = "auto",
    setting: options.Setting = None,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Score how strongly each layer depends on the encoder's feature.

    Example: mimic-ray profile --encoder resnet50 --teacher suspect.pth --data images/ --out profile
    """
    from mimic_ray.workflows.profile import profile

    with console.progress() as on_progress:
        found = profile(
            options.with_settings(encoder, normalise, mean, std, weights),
            teacher,
            data,
            out,
            recipe=recipe,
            settings=setting or [],
            device=device,
            threads=threads,
            on_progress=on_progress,
        )
    if json:
        console.print_json(found.to_json())
        return
    from mimic_ray.report.tables import profile_table

    console.out.print(profile_table(found))
    console.out.print(
        "Compare layers of one network, and each layer with the same network untrained. Scores of "
        "different networks are not comparable."
    )
    if out:
        console.out.print(f"Written to {out}", soft_wrap=True)
