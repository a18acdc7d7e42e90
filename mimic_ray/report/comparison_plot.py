"""The figure of a comparison: attack success against accuracy, one curve or point a defence.

Colours and markers differ together, so that defences can be distinguished without colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimic_ray.evaluation.comparison_results import REFERENCE, SUSPECT, Comparison, ComparisonRow
from mimic_ray.report.style import COLOURS, GREY, INK, LINES, ONE_COLUMN, figure, legend, save_as

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^vP"


def plot_comparison(comparison: Comparison, folder: Path, name: str) -> list[str]:
    """Writes the figure as PNG, PDF and SVG, and returns the names; [] if there is no ASR."""
    rows = [row for row in comparison.rows if row.acc and row.asr]
    defences = list(dict.fromkeys(row.defence for row in rows if row.is_defence()))
    if not defences:
        return []
    drawing, axes = figure(ONE_COLUMN, 2.5)
    styles = [(marker, colour) for marker, colour in product(_MARKERS, COLOURS)]
    for number, defence in enumerate(defences):
        # Neighbours in the list differ in both.
        marker, colour = styles[(number * (len(COLOURS) + 1)) % len(styles)]
        _curve(axes, [row for row in rows if row.defence == defence], marker, colour)
    for row in rows:
        if row.defence == SUSPECT:
            _point(axes, row, "*", INK, label="suspect encoder")
    floor = next((row.asr_b for row in comparison.rows if row.defence == REFERENCE), None)
    if floor:
        axes.axhline(100 * floor.share, color=GREY, linestyle=":", linewidth=1, label="ASR-B")
    axes.set_xlabel("ACC (%)")
    axes.set_ylabel("ASR (%)")
    axes.set_ylim(-3, 103)
    axes.grid(axis="x", color=LINES, linewidth=0.8)
    legend(drawing, axes.get_legend_handles_labels()[0])
    return save_as(drawing, folder, name)


def _curve(axes: Axes, rows: Sequence[ComparisonRow], marker: str, colour: str) -> None:
    """The strengths of a defence in their order; the chosen one is filled."""
    ordered = sorted(rows, key=lambda row: -1.0 if row.value is None else row.value)
    if len(ordered) > 1:
        x, y = zip(*(_shares(row) for row in ordered), strict=True)
        axes.plot(x, y, color=colour, linewidth=1)
    for row in ordered:
        _point(axes, row, marker, colour, label=row.defence if row.chosen else "")


def _point(axes: Axes, row: ComparisonRow, marker: str, colour: str, *, label: str) -> None:
    if row.acc is None or row.asr is None:
        return
    x, y = _shares(row)
    axes.errorbar(
        x,
        y,
        xerr=_reach(x, row.acc.low, row.acc.high),
        yerr=_reach(y, row.asr.low, row.asr.high),
        fmt=marker,
        markersize=5 if row.chosen else 3.5,
        markerfacecolor=colour if row.chosen else "white",
        color=colour,
        elinewidth=0.8,
        capsize=2,
        label=label or "_nolegend_",
    )


def _shares(row: ComparisonRow) -> tuple[float, float]:
    assert row.acc is not None
    assert row.asr is not None
    return 100 * row.acc.share, 100 * row.asr.share


def _reach(share: float, low: float, high: float) -> Any:
    """[[below], [above]]: an interval contains its share up to rounding."""
    return [[max(0.0, share - 100 * low)], [max(0.0, 100 * high - share)]]
