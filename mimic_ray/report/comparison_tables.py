"""A comparison of defences as tables: terminal, CSV, LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mimic_ray.base.text import plain
from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import Proportion
from mimic_ray.report.fitted_table import NOT_MEASURED, FittedTable
from mimic_ray.report.tables import markdown_text


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[ComparisonRow], str]


def _percent(proportion: Proportion | None) -> str:
    if proportion is None:
        return NOT_MEASURED
    low, high = 100 * proportion.low, 100 * proportion.high
    return f"{100 * proportion.share:.1f} ({low:.1f}-{high:.1f})"


def _cosine(row: ComparisonRow) -> str:
    if row.cosine is None:
        return NOT_MEASURED
    return f"{row.cosine:.4f}{' *' if row.reached is False else ''}"


def _images(row: ComparisonRow) -> str:
    return NOT_MEASURED if row.images_seen is None else f"{row.images_seen:,.0f}"


_NAME = _Column("Defence", lambda row: plain(row.defence))
_BLIND = (
    _Column("Strength", lambda row: plain(row.strength) or NOT_MEASURED),
    _Column("Cosine", _cosine),
)
_COST = (
    _Column("Images seen", _images),
    _Column("Cost", lambda row: row.cost() or NOT_MEASURED),
)
_LABELLED = (
    ("acc", _Column("ACC, %", lambda row: _percent(row.acc))),
    ("asr", _Column("ASR, %", lambda row: _percent(row.asr))),
    ("asr_b", _Column("ASR-B, %", lambda row: _percent(row.asr_b))),
    ("acc_distilled", _Column("ACC distilled, %", lambda row: _percent(row.acc_distilled))),
    ("asr_distilled", _Column("ASR distilled, %", lambda row: _percent(row.asr_distilled))),
    ("acc_tuned", _Column("ACC tuned, %", lambda row: _percent(row.acc_tuned))),
    ("asr_tuned", _Column("ASR tuned, %", lambda row: _percent(row.asr_tuned))),
)


def comparison_table(rows: Sequence[ComparisonRow]) -> FittedTable:
    """For a terminal, with the notes below it."""
    columns = (_NAME, *_columns(rows))
    header = [column.title for column in columns]
    return FittedTable(header, ([c.cell(row) for c in columns] for row in rows), notes(rows))


def notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """How to read the numbers, then each note and failure with the name of its row."""
    found = []
    if any(row.acc for row in rows):
        found.append("ACC and ASR with 95 % intervals over seeds and test images (in brackets).")
    if any(row.acc_tuned for row in rows):
        found.append(
            "Distilled: after plain distillation steps from the suspect encoder. Tuned: a user's "
            "model, fine-tuned on 1 % of the labelled images."
        )
    if any(row.reached is False for row in rows):
        found.append("* The cosine is lower than that of default.")
    for row in rows:
        name = plain(f"{row.defence} {row.strength}".strip())
        sentences = [*row.notes, *([row.failure] if row.failure else [])]
        found += [f"{name}: {plain(sentence, 400)}" for sentence in sentences]
    return found


def comparison_markdown(comparison: Comparison) -> str:
    """The table with its notes."""
    columns = (_NAME, *_columns(comparison.chosen()))
    lines = [[column.title for column in columns]]
    lines.append([":--", *["--:"] * (len(columns) - 1)])
    for row in comparison.chosen():
        lines.append([markdown_text(column.cell(row)) for column in columns])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    sentences = "\n".join(f"- {markdown_text(line, 500)}" for line in notes(comparison.chosen()))
    settings = "\n".join(
        f"- {markdown_text(name)}: {markdown_text(value)}"
        for name, value in comparison.settings.items()
    )
    return f"{table}\n\n{sentences}\n\nSettings:\n\n{settings}\n"


def comparison_csv(comparison: Comparison) -> str:
    """All rows, also the points of the curves, with one value in each cell; shares in [0, 1]."""
    flat = [row.flat() for row in comparison.rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*flat[0]], lineterminator="\n")
    writer.writeheader()
    for row in flat:
        writer.writerow({k: "" if v is None else v for k, v in row.items()})
    return buffer.getvalue()


def comparison_latex(comparison: Comparison) -> str:
    """A tabular with the rules of the package booktabs; the notes are comments."""
    columns = (_NAME, *_columns(comparison.chosen()))
    lines = [f"% {line}" for line in notes(comparison.chosen())]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}", r"\toprule"]
    lines += [" & ".join(latex_text(column.title) for column in columns) + r" \\", r"\midrule"]
    for row in comparison.chosen():
        lines.append(" & ".join(latex_text(column.cell(row)) for column in columns) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    """Text from outside, escaped so that it is only text in LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
    return "".join(special.get(sign, sign) for sign in plain(text))


def _columns(rows: Sequence[ComparisonRow]) -> list[_Column]:
    """The columns in which at least one row has a value."""
    measured = [column for name, column in _LABELLED if any(getattr(row, name) for row in rows)]
    return [*_BLIND, *measured, *_COST]
