"""mimic-ray inspect: shows the content of a weight file before it is loaded."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import Kind


def command(
    file: Annotated[
        str,
        typer.Argument(
            help="A weight file, a folder of its parts, hf://OWNER/NAME or s3://bucket/file."
        ),
        Kind.CHECKPOINT,
    ],
    encoder: Annotated[
        str | None,
        typer.Option(help="Check only this encoder instead of all known ones."),
        Kind.ENCODER,
    ] = None,
    weights: options.Weights = None,
    json: options.Json = False,
) -> None:
    """Show the content of a weight file and the encoders that fit it, without running its code.

    Example: mimic-ray inspect suspect.pth
    """
    from mimic_ray.workflows.inspect import inspect

    found = inspect(file, options.with_settings(encoder, weights=weights))
    if json:
        misfit = found.misfit.for_command_line() if found.misfit else None
        console.print_json(asdict(found) | {"misfit": misfit})
    else:
        from mimic_ray.cli.inspection_table import inspection_table

        console.out.print(inspection_table(found))
    if found.misfit:
        raise found.misfit
