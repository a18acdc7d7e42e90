"""A comparison of defences as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mimic_ray.base.text import plain
from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import LASTING, Proportion
from mimic_ray.report.fitted_table import NOT_MEASURED, FittedTable
from mimic_ray.report.table_files import markdown, markdown_text
from mimic_ray.report.tables import after_training


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[ComparisonRow], str]


def _percent(proportion: Proportion | None) -> str:
    if proportion is None:
        return NOT_MEASURED
    low, high = 100 * proportion.low, 100 * proportion.high
    return f"{100 * proportion.share:.1f} ({low:.1f}-{high:.1f})"


def _strength(row: ComparisonRow) -> str:
    """The strength; `failed` for a defence without any encoder."""
    failed = ["failed"] if row.failure and row.cosine is None else []
    return " ".join([*filter(None, [plain(row.strength)]), *failed]) or NOT_MEASURED


def _cosine(row: ComparisonRow) -> str:
    if row.cosine is None:
        return NOT_MEASURED
    return f"{row.cosine:.4f}{' *' if row.reached is False else ''}"


def _images(row: ComparisonRow) -> str:
    return NOT_MEASURED if row.images_seen is None else f"{row.images_seen:,.0f}"


_NAME = _Column("Defence", lambda row: plain(row.defence))
_BLIND = (
    _Column("Strength", _strength),
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


def comparison_table(
    rows: Sequence[ComparisonRow], points: Sequence[ComparisonRow] = ()
) -> FittedTable:
    """One line for each row, with the notes below. Its records are those of `points`, all
    strengths of a curve; without them, those of `rows`."""
    columns = (_NAME, *_columns(rows))
    return FittedTable(
        [column.title for column in columns],
        ([column.cell(row) for column in columns] for row in rows),
        notes(rows),
        records=[row.flat() for row in points or rows],
    )


def notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """How to read the numbers, then each note and failure with the name of its row."""
    found = []
    if any(row.acc for row in rows):
        found.append(
            "ACC and ASR with 95 % intervals (in brackets) over test images, and over seeds of "
            "purifications and heads where there are several."
        )
    found += after_training([name for name in LASTING if any(getattr(row, name) for row in rows)])
    if any(row.reached is False for row in rows):
        found.append("* The cosine is lower than that of default.")
    for row in rows:
        name = plain(f"{row.defence} {row.strength}".strip())
        sentences = [*row.notes, *([row.failure] if row.failure else [])]
        found += [f"{name}: {plain(sentence, 400)}" for sentence in sentences]
    return found


def comparison_markdown(comparison: Comparison) -> str:
    """The table with its notes, and the settings of the comparison."""
    settings = "\n".join(
        f"- {markdown_text(name)}: {markdown_text(value)}"
        for name, value in comparison.settings.items()
    )
    return f"{markdown(comparison_table(comparison.chosen()))}\nSettings:\n\n{settings}\n"


def _columns(rows: Sequence[ComparisonRow]) -> list[_Column]:
    """The columns in which at least one row has a value."""
    measured = [column for name, column in _LABELLED if any(getattr(row, name) for row in rows)]
    return [*_BLIND, *measured, *_COST]
