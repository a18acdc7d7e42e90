"""--table of the commands that print a table and write no folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimic_ray.cli import console
from mimic_ray.cli.option_kinds import Kind

if TYPE_CHECKING:
    from mimic_ray.report.fitted_table import FittedTable

TableFile = Annotated[
    str | None,
    typer.Option(
        "--table",
        metavar="FILE",
        help="Also write the table to this file: .csv (plain numbers), .tex (LaTeX) or .md.",
    ),
    Kind.TABLE,
]


def write_if_wanted(path: str | None, table: FittedTable) -> None:
    """Writes the table to the value of --table; nothing without one."""
    if path is None:
        return
    from mimic_ray.report.table_files import write_table

    write_table(Path(path), table)
    console.note(f"Written to {path}")
