"""A table as a file: CSV for programs, LaTeX and Markdown for papers and documents."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.frames import column_names
from mimic_ray.base.storage_address import is_remote
from mimic_ray.base.text import plain
from mimic_ray.report.fitted_table import FittedTable


def csv_text(table: FittedTable) -> str:
    """The records of the table: one value in each cell, shares in [0, 1], empty if unknown."""
    names = column_names(table.records) or table.header
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for record in table.records:
        values = (record.get(name) for name in names)
        # A value that differs from itself is NaN.
        writer.writerow(["" if value is None or value != value else value for value in values])
    return buffer.getvalue()


def latex(table: FittedTable) -> str:
    """A tabular with the rules of the package booktabs; the notes are its last lines."""
    columns = len(table.header)
    lines = [rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}", r"\toprule"]
    lines += [" & ".join(map(latex_text, table.header)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(latex_text, line)) + r" \\" for line in table.lines]
    lines += [r"\bottomrule"]
    paragraph = rf"\multicolumn{{{columns}}}{{@{{}}p{{\linewidth}}@{{}}}}"
    lines += [rf"{paragraph}{{\footnotesize {latex_text(note, 1000)}}} \\" for note in table.notes]
    return "\n".join([*lines, r"\end{tabular}"]) + "\n"


def markdown(table: FittedTable) -> str:
    """The table; below it one note as a paragraph, or several as a list."""
    notes = [markdown_text(note, 1000) for note in table.notes]
    below = notes if len(notes) == 1 else [f"- {note}" for note in notes]
    parts = [markdown_table(table.header, table.lines), "\n".join(below)]
    return "\n\n".join(filter(None, parts)) + "\n"


_WRITERS = {".csv": csv_text, ".tex": latex, ".md": markdown}


def write_tables(folder: Path, name: str, table: FittedTable) -> list[str]:
    """Writes NAME.csv, NAME.tex and NAME.md into `folder`, and returns their names."""
    names = [f"{name}{ending}" for ending in _WRITERS]
    for each in names:
        write_table(folder / each, table)
    return names


def write_table(path: Path, table: FittedTable) -> None:
    """Writes a .csv, .tex or .md file, by its ending, atomically."""
    files.write_text(path, _WRITERS[path.suffix](table))


def require_table_file(path: str) -> None:
    """Raises UsageError, before any work, for a file that `write_table` cannot write."""
    target, named = Path(path), option("table", path)
    if target.suffix not in _WRITERS:
        raise UsageError(f"{named} must end in .csv, .tex or .md.")
    if is_remote(path):
        raise UsageError(f"{named} is an address: give a file on this machine.")
    if target.is_dir():
        raise UsageError(f"{named} is a folder: give a file.")
    if not target.parent.is_dir():
        raise UsageError(f"{named} cannot be written: there is no folder {plain(target.parent)}.")


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of plain texts."""
    alignment = [":--", *["--:"] * (len(header) - 1)]
    escaped = [[markdown_text(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, alignment, *escaped])


def markdown_text(text: object, limit: int = 200) -> str:
    """Text from outside, escaped so that it cannot become a table cell, link, image or HTML."""
    shown = plain(text, limit).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|" else c for c in shown)


def latex_text(text: str, limit: int = 200) -> str:
    """Text from outside, escaped so that it is only text in LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
    return "".join(special.get(sign, sign) for sign in plain(text, limit))
