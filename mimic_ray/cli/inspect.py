"""mimic-ray inspect: what is in a weight file, before anybody loads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from mimic_ray.base.errors import CheckpointError, WrongEncoderError
from mimic_ray.base.text import count
from mimic_ray.cli import console, options

if TYPE_CHECKING:
    from mimic_ray.workflows.inspect import Inspection, Match


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
            refused = {"readable": False, "kind": type(error).__name__, "reason": error.message}
            console.print_json(refused)
        raise
    if json:
        console.print_json({"readable": True} | asdict(found))
    else:
        _show(found)
    if found.misfit:
        raise WrongEncoderError(found.misfit)


def _show(found: Inspection) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for word, lines in _rows(found):
        table.add_row(f"[bold]{word}[/]", escape("\n".join(lines)))
    console.out.print(table)


def _rows(found: Inspection) -> Iterator[tuple[str, list[str]]]:
    yield "file", [found.file, f"{found.format}, {found.size_bytes:,} bytes"]
    yield "sha256", [found.sha256]
    yield (
        "tensors",
        _few(
            f"{group.place or '(top)'}: {count(group.tensors, 'tensor')}, "
            f"{count(group.numbers, 'number')}, {' '.join(group.precisions)}"
            for group in found.groups
        ),
    )
    if found.notes:
        yield "beside", _few(f"{key}: {note}" for key, note in found.notes.items())
    for (place, prefix, *lists), same in groupby(sorted(found.fits, key=_where), _where):
        lines = [", ".join(match.encoder for match in same)]
        lines.append(f"  at {place or '(top)'}, keys {prefix}*")
        for word, names in zip(("left out", "also fits, and stays as it is"), lists, strict=True):
            if names:
                lines.append(f"  {word}: {', '.join(_few(names))}")
        yield "fits", lines
    if not found.fits and not found.misfit:
        yield "fits", ["none of our encoders; try --encoder with a timm name or file.py:function"]
    yield "safe", ["to load: numbers, no code. Whether it is backdoored is another question."]


def _where(match: Match) -> tuple[str, str, list[str], list[str]]:
    return match.place, match.prefix, match.left_out, match.also_fits


def _few(lines: Iterable[str], limit: int = 6) -> list[str]:
    shown = [*lines]
    return shown if len(shown) <= limit else [*shown[:limit], f"and {len(shown) - limit:,} more"]
