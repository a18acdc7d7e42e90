"""The files beside comparison.json."""

from __future__ import annotations

from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import Proportion
from mimic_ray.report.comparison_report import write_comparison_report

TABLES = {"comparison.csv", "comparison.md", "comparison.tex"}


def test_a_comparison_without_labels_has_three_tables(tmp_path):
    names = write_comparison_report(tmp_path, Comparison((ComparisonRow("nad", cosine=0.9),)))
    assert {*names} == TABLES == {path.name for path in tmp_path.iterdir()}


def test_with_asr_there_is_a_figure_in_three_formats(tmp_path):
    share = Proportion.of(1, 10)
    found = Comparison((ComparisonRow("nad", acc=share, asr=share),))
    names = write_comparison_report(tmp_path, found)
    assert {*names} - TABLES == {f"comparison.{end}" for end in ("pdf", "png", "svg")}
