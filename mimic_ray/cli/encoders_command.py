"""mimic-ray encoders: the architectures that weight files are read as."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mimic_ray.cli import console, options


def command(
    pattern: Annotated[
        str,
        typer.Argument(
            help="Only names that match, as in 'dino*', or names and publishers with this part.",
            show_default=False,
        ),
    ] = "",
    json: options.Json = False,
) -> None:
    """List the encoders: parameters, image side, input statistics, and what they are read from.

    Example: mimic-ray encoders 'dino*'
    """
    from mimic_ray.encoders.encoder_registry import HINT
    from mimic_ray.weight_files.catalogue import catalogue

    entries = catalogue(pattern)
    if json:
        console.print_json([asdict(entry) for entry in entries])
        return
    from mimic_ray.report.fitted_table import FittedTable

    header = ["name", "parameters", "features", "side", "mean and std", "network", "read from"]
    lines = [
        [
            entry.name,
            entry.size(),
            str(entry.feature_width),
            str(entry.input_size),
            entry.normalisation or "own",
            entry.network(),
            entry.source(),
        ]
        for entry in entries
    ]
    console.out.print(FittedTable(header, lines, left=(0, 4, 5, 6), folds_last=True))
    if not pattern:
        console.out.print(HINT, soft_wrap=True)
