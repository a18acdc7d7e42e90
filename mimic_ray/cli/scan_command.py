"""mimic-ray scan: signs of a backdoor in an encoder, without its trigger."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from mimic_ray.base.errors import VERDICT_EXIT_CODES
from mimic_ray.base.resources import Resources
from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import Kind

# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True


def check_before_sending(context: typer.Context, _resources: Resources, sees_paths: bool) -> None:
    """Raises what the command would refuse on the cluster, as far as this machine can tell."""
    given = context.params
    from mimic_ray.workflows.scan_checks import check_scan

    statistics = (given[name] for name in ("normalise", "mean", "std", "weights"))
    check_scan(
        options.with_settings(given["encoder"], *statistics),
        given["teacher"],
        given["data"],
        given["out"],
        reference=given["reference"],
        reference_encoder=given["reference_encoder"],
        sees_paths=sees_paths,
    )


def command(
    *,
    encoder: options.Encoder = None,
    teacher: Annotated[
        str,
        typer.Option(
            help="The suspect encoder: a checkpoint or a run, or its address s3://bucket/file."
        ),
        Kind.CHECKPOINT_OR_RUN,
    ],
    data: options.Data,
    student: Annotated[
        str | None,
        typer.Option(
            help="A finished purification of this encoder: shows which openings it closed. No part "
            "of the verdict."
        ),
        Kind.CHECKPOINT_OR_RUN,
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="A trusted encoder of the same kind, a checkpoint or a run. The verdict then "
            "rests on what the suspect answers to and the reference does not."
        ),
        Kind.CHECKPOINT_OR_RUN,
    ] = None,
    reference_encoder: Annotated[
        str | None,
        typer.Option(help="Architecture of the reference, if it is another one."),
        Kind.ENCODER,
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="New folder for scan.html, scan.json, the table (.csv, .tex, .md) and the picture "
            "(.png, .pdf, .svg), or s3://bucket/folder."
        ),
        Kind.OUTPUT,
    ] = None,
    effort: Annotated[
        options.EffortName, typer.Option(help="quick: a first look without a verdict.")
    ] = options.EffortName.full,
    seed: Annotated[int, typer.Option(help="Random seed of the search.")] = 0,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    json: options.Json = False,
) -> int:
    """Look for signs of a backdoor in an encoder, with clean images and without its trigger.

    The verdict is suspect (exit code 3), no evidence (0) or cannot tell (4). None of them calls an
    encoder clean.

    Example: mimic-ray scan --encoder cifar_resnet20 --teacher suspect.pth --data images/
    --out scanned
    """
    from mimic_ray.workflows.scan import scan

    with console.progress() as on_progress:
        found = scan(
            options.with_settings(encoder, normalise, mean, std, weights),
            teacher,
            data,
            out,
            student=student,
            reference=reference,
            reference_encoder=reference_encoder,
            effort=effort.value,
            seed=seed,
            device=device,
            threads=threads,
            on_progress=on_progress,
        )
    if json:
        console.print_json(found.to_json())
        return VERDICT_EXIT_CODES[found.verdict.value]
    from mimic_ray.report.scan_words import openings_table, sentences

    verdict, *others = sentences(found)
    console.out.print(Text(verdict, style="bold"))
    for sentence in others:
        console.out.print(sentence)
    console.out.print(openings_table(found))
    if out:
        console.out.print(f"Written to {out}", soft_wrap=True)
    return VERDICT_EXIT_CODES[found.verdict.value]
