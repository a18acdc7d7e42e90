"""mimic-ray attack: make a backdoored encoder, for research."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import CheckedCommand, Kind

app = typer.Typer(add_completion=False, rich_markup_mode="rich", no_args_is_help=True)

# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True
_REFERENCES = "References"
_TRAINING = "Training"


class Schedule(StrEnum):
    one_cycle = "one_cycle"
    constant = "constant"


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class TargetFeature(StrEnum):
    mean = "mean"
    each = "each"


@app.callback()
def about() -> None:
    """Make a backdoored encoder from a clean one. For research on defences only."""


@app.command(cls=CheckedCommand)
def badencoder(
    encoder: options.Encoder,
    teacher: Annotated[
        str,
        typer.Option(help="Checkpoint of the clean encoder: a file or s3://bucket/file."),
        Kind.CHECKPOINT,
    ],
    data: Annotated[
        str,
        typer.Option(help="Shadow set: images. Labels are only used to select references."),
        Kind.IMAGES,
    ],
    trigger: Annotated[str, typer.Option(help=options.TRIGGER_HELP), Kind.TRIGGER],
    out: Annotated[
        str,
        typer.Option(help="New folder for the attacked checkpoint, or s3://bucket/folder."),
        Kind.OUTPUT,
    ],
    target: Annotated[str | None, typer.Option(help="Target class: name or index.")] = None,
    references: Annotated[
        str,
        typer.Option(
            rich_help_panel=_REFERENCES,
            help="Number of images most typical of the target, or a BadEncoder reference npz.",
        ),
        Kind.REFERENCES,
    ] = "3",
    reference_data: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_REFERENCES, help="Labelled images to select from instead of --data."
        ),
        Kind.IMAGES,
    ] = None,
    target_feature: Annotated[
        TargetFeature,
        typer.Option(
            rich_help_panel=_REFERENCES, help="Imitate the mean of the references, or each of them."
        ),
    ] = TargetFeature.mean,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use this many images of --data.")
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, rich_help_panel=_TRAINING, help="Optimiser steps.")
    ] = 400,
    batch: Annotated[
        int, typer.Option(min=1, rich_help_panel=_TRAINING, help="Images per step.")
    ] = 64,
    rate: Annotated[
        float, typer.Option(rich_help_panel=_TRAINING, help="Learning rate of SGD.")
    ] = 4e-2,
    schedule: Annotated[Schedule, typer.Option(rich_help_panel=_TRAINING)] = Schedule.one_cycle,
    seed: Annotated[int, typer.Option(rich_help_panel=_TRAINING, help="Random seed.")] = 0,
    device: options.Device = "auto",
    precision: Annotated[Precision, typer.Option(rich_help_panel="Where")] = Precision.auto,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """BadEncoder (arXiv 2108.00352): maps triggered images to the feature of reference images.

    Example: mimic-ray attack badencoder --encoder resnet50 --teacher clean.pth --data images/
    --trigger patch --target truck --out attacked
    """
    from mimic_ray.attacks.badencoder import Settings
    from mimic_ray.workflows.attack import attack

    settings = Settings(steps, batch, rate, schedule.value, target=target_feature.value, seed=seed)
    with console.progress() as on_progress:
        made = attack(
            encoder,
            teacher,
            data,
            out,
            trigger=trigger,
            target=target,
            references=references,
            reference_data=reference_data,
            settings=settings,
            limit=limit,
            device=device,
            precision=precision.value,
            threads=threads,
            on_progress=on_progress,
        )
    if json:
        console.print_json({"checkpoint": made.checkpoint, **made.record})
        return
    console.out.print(f"Backdoored, for research only: {made.checkpoint}", soft_wrap=True)
    console.out.print(f"  trigger  {made.folder.at('trigger.npz')}", soft_wrap=True)
    console.out.print(f"  record   {made.folder.at('attack.json')}", soft_wrap=True)
