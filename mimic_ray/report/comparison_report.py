"""The files of a finished comparison, beside its comparison.json."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.base import files
from mimic_ray.evaluation.comparison_results import Comparison
from mimic_ray.report.comparison_plot import plot_comparison
from mimic_ray.report.comparison_tables import (
    comparison_csv,
    comparison_latex,
    comparison_markdown,
)

_NAME = "comparison"


def write_comparison_report(folder: Path, comparison: Comparison) -> list[str]:
    """Writes tables and figure into `folder` and returns the names of the files."""
    tables = {
        f"{_NAME}.csv": comparison_csv(comparison),
        f"{_NAME}.tex": comparison_latex(comparison),
        f"{_NAME}.md": comparison_markdown(comparison),
    }
    for name, content in tables.items():
        files.write_text(folder / name, content)
    return [*tables, *plot_comparison(comparison, folder, _NAME)]
