"""The figure of a comparison: everything is drawn; test_figures.py looks at its text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import Proportion
from mimic_ray.report import comparison_plot, style
from mimic_ray.report.comparison_plot import plot_comparison


def row(defence, acc, asr, **more):
    return ComparisonRow(defence, acc=Proportion.of(acc, 100), asr=Proportion.of(asr, 100), **more)


def comparison(defences=3, curve=False) -> Comparison:
    reference = replace(row("reference", 90, 1), asr=None, asr_b=Proportion.of(1, 100))
    rows = [row("suspect", 91, 98), reference]
    rows += [row(f"defence_{number}", 60 + 2 * number, 5 * number) for number in range(defences)]
    if curve:
        rows += [
            row("nad", 90 - 10 * number, 90 - 30 * number, value=float(number), chosen=number == 1)
            for number in range(3)
        ]
    return Comparison(tuple(rows))


@pytest.fixture
def drawn(monkeypatch):
    """The last figure that was made."""
    made = []

    def figure(*size):
        made.append(style.figure(*size))
        return made[-1]

    monkeypatch.setattr(comparison_plot, "figure", figure)
    return made


def test_the_figure_is_written_as_png_pdf_and_svg(tmp_path):
    names = plot_comparison(comparison(), tmp_path, "comparison")
    assert sorted(names) == ["comparison.pdf", "comparison.png", "comparison.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    with Image.open(tmp_path / "comparison.png") as image:
        image.load()
    assert (tmp_path / "comparison.pdf").read_bytes().startswith(b"%PDF")
    svg = (tmp_path / "comparison.svg").read_text()
    assert "defence_2" in svg  # text, not outlines
    assert "<svg" in svg


def test_without_an_asr_there_is_no_figure(tmp_path):
    blind = Comparison((ComparisonRow("nad", cosine=0.9),))
    assert plot_comparison(blind, tmp_path, "comparison") == []
    assert list(tmp_path.iterdir()) == []


def test_every_defence_is_in_the_legend_and_differs_in_colour_and_marker(tmp_path, drawn):
    plot_comparison(comparison(14, curve=True), tmp_path, "comparison")
    drawing, axes = drawn[0]
    labels = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert {f"defence_{number}" for number in range(14)} < {*labels}
    assert {"nad", "suspect encoder", "ASR-B"} < {*labels}
    assert len(labels) == len({*labels})
    markers = [
        (line.get_marker(), line.get_color())
        for line in axes.get_lines()
        if str(line.get_marker()) in "osD^vP" and line.get_linestyle() == "None"
    ]
    assert len({*markers}) == 15
    several = [colour for marker, colour in {*markers}]
    assert max(several.count(colour) for colour in several) <= 3


def test_a_curve_goes_through_its_strengths_in_order_and_fills_the_chosen_one(tmp_path, drawn):
    plot_comparison(comparison(0, curve=True), tmp_path, "comparison")
    axes = drawn[0][1]
    curve = next(line for line in axes.get_lines() if line.get_linestyle() == "-")
    assert list(curve.get_xdata()) == pytest.approx([90, 80, 70])
    assert list(curve.get_ydata()) == pytest.approx([90, 60, 30])
    filled = [
        line.get_markerfacecolor() != "white"
        for line in axes.get_lines()
        if line.get_marker() == "o"
    ]
    assert filled == [False, True, False]


def test_intervals_of_both_axes_are_drawn(tmp_path, drawn):
    plot_comparison(comparison(1), tmp_path, "comparison")
    bars = [container for container in drawn[0][1].containers if container.has_xerr]
    assert all(container.has_yerr for container in bars)
    assert len(bars) == 2  # the suspect encoder and the defence
