"""The files of a finished comparison, beside its comparison.json."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.base import files
from mimic_ray.evaluation.comparison_results import Comparison
from mimic_ray.report.comparison_plot import plot_comparison
from mimic_ray.report.comparison_tables import comparison_markdown, comparison_table
from mimic_ray.report.table_files import write_tables

_NAME = "comparison"


def write_comparison_report(folder: Path, comparison: Comparison) -> list[str]:
    """Writes tables and figure into `folder` and returns the names of the files."""
    table = comparison_table(comparison.chosen(), comparison.rows)
    names = write_tables(folder, _NAME, table)
    # With the settings, unlike other tables: it is read alone.
    files.write_text(folder / f"{_NAME}.md", comparison_markdown(comparison))
    return [*names, *plot_comparison(comparison, folder, _NAME)]
