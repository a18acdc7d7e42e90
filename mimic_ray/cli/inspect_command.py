"""mimic-ray inspect: what is in a weight file, before anybody loads it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mimic_ray.base.errors import CheckpointError, WrongEncoderError
from mimic_ray.cli import console, options


def command(
    file: Annotated[Path, typer.Argument(help="A safetensors or torch file, from wherever.")],
    encoder: Annotated[
        str | None, typer.Option(help="Say whether this one fits, not which of all do.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show what a weight file holds and which encoder fits it. Nothing in it is ever run.

    Example: mimic-ray inspect suspect.pth
    """
    from mimic_ray.workflows.inspect import inspect

    try:
        found = inspect(file, encoder)
    except CheckpointError as error:
        if json:
            refused = {
                "readable": False,
                "kind": type(error).__name__,
                "reason": error.for_command_line(),
            }
            console.print_json(refused)
        raise
    if json:
        console.print_json({"readable": True} | asdict(found))
    else:
        from mimic_ray.cli.inspection_table import inspection_table

        console.out.print(inspection_table(found))
    if found.misfit:
        raise WrongEncoderError(found.misfit)
