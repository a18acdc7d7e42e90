"""Plots of a run: profile, loss curves, evaluation.

Each is written as PNG, PDF and SVG; the paths are those of the PNG files. Bars are horizontal, so
that any number of them, with names of any length, fits one column of a paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base.text import plain
from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.method.estimators.estimator_registry import score_unit
from mimic_ray.method.mi_profile import Profile
from mimic_ray.report.evaluation_words import interval_words, row_labels
from mimic_ray.report.style import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    LINES,
    ONE_COLUMN,
    ORANGE,
    POINTS,
    figure,
    legend,
    save_as,
    title,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAME_WIDTH = 80  # points, of the names beside the bars
_BAR, _TEXT_LINE = 0.17, 0.145  # inches: height of a bar, and of a line of a name


def plot_profile(profile: Profile, path: Path) -> None:
    """The score of each tap and of the untrained network; labels are shares of the sum."""
    drawing, axes = _bars([tap.tap for tap in profile.taps], 2)
    for position, tap in enumerate(profile.taps):
        colour = BLUE if tap.kept else "white"
        bar = axes.barh(position - 0.2, tap.score, 0.38, color=colour, edgecolor=BLUE)
        axes.barh(position + 0.2, tap.untrained, 0.38, color=GREY, edgecolor=GREY)
        share = f"{100 * tap.share:.0f} %"
        axes.bar_label(bar, [share], padding=2, fontsize=POINTS, color=INK)
    unit = score_unit(profile.estimator)
    axes.set_xlabel(f"dependence score ({unit})" if unit else "dependence score")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.15)  # for the labels
    title(
        axes,
        "Dependence between each tap and the feature",
        f"{profile.estimator}, {profile.images:,} images; labels: share of the "
        f"sum over the {profile.of}'s taps",
    )
    from matplotlib.patches import Patch

    handles = [Patch(color=BLUE, label="this encoder")]
    if not all(tap.kept for tap in profile.taps):
        handles.append(Patch(facecolor="white", edgecolor=BLUE, label="below the threshold"))
    handles.append(Patch(color=GREY, label="random weights"))
    legend(drawing, handles)
    save_as(drawing, path.parent, path.stem)


def plot_losses(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Each loss term by step: a moving average over about 2 % of the run and the raw values."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    drawing, axes = figure(ONE_COLUMN, 2.1)
    steps = np.array([row["step"] for row in rows])
    window = max(1, len(rows) // 50)
    handles = []
    # Terms differ in colour and in dashes.
    styles = zip(loss_terms(rows), cycle(COLOURS), cycle(("-", "--", "-.", ":")), strict=False)
    for name, colour, dashes in styles:
        values = np.array([row.get(name, np.nan) for row in rows])
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.6)
        # Padding with the end values keeps the window full at both ends.
        padded = np.pad(values, (window // 2, (window - 1) // 2), mode="edge")
        smooth = np.convolve(padded, np.ones(window) / window, mode="valid")
        handles += axes.plot(
            steps, smooth, color=colour, linestyle=dashes, linewidth=1.4, label=plain(name)
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, steps.max(initial=1))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    title(axes, "Distillation loss", f"bold: mean over {window} steps" if window > 1 else "")
    if len(handles) > 1:
        legend(drawing, handles)
    save_as(drawing, path.parent, path.stem)


def loss_terms(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The columns to plot: the total loss and, if there are several terms, each term."""
    not_losses = {"step", "learning_rate", "images_per_s", "data_wait", "loss"}
    keys = dict.fromkeys(key for row in rows for key in row)
    parts = [key for key in keys if key not in not_losses]
    return ["loss", *parts] if len(parts) > 1 else ["loss"]


def plot_evaluation(rows: Sequence[EvaluationRow], path: Path) -> None:
    """ACC, ASR and ASR-B in percent with 95 % intervals, one group of bars for each encoder."""
    kinds = [("ACC", BLUE), ("ASR", ORANGE), ("ASR-B", GREY)]
    measured = [kind for kind in kinds if any(_measure(row, kind[0]) for row in rows)]
    drawing, axes = _bars(row_labels(rows), len(measured))
    width = 0.8 / max(3, len(measured))
    handles = []
    for number, (kind, colour) in enumerate(measured):
        offset = (number - (len(measured) - 1) / 2) * width
        for position, row in enumerate(rows):
            if found := _measure(row, kind):
                _bar_with_interval(axes, position + offset, 0.9 * width, found, colour)
        handles.append(_swatch(colour, kind))
    axes.set_xlim(0, 122)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("percent")
    title(axes, "Accuracy and attack success", f"bars with 95 % intervals {interval_words(rows)}")
    legend(drawing, handles)
    save_as(drawing, path.parent, path.stem)


def _bars(names: Sequence[str], bars: int) -> tuple[Figure, Axes]:
    """A figure with a row of `bars` bars for each name, the first at the top."""
    labels = [wrapped(name, _NAME_WIDTH) for name in names]
    lines = max(label.count("\n") + 1 for label in labels)
    row = max(_BAR * (bars + 0.8), _TEXT_LINE * (lines + 0.5))
    drawing, axes = figure(ONE_COLUMN, 0.5 + row * len(names))
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color=LINES, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    return drawing, axes


def _measure(row: EvaluationRow, kind: str) -> Proportion | None:
    return {"ACC": row.acc, "ASR": row.asr, "ASR-B": row.asr_b}[kind]


def _bar_with_interval(
    axes: Axes, position: float, width: float, found: Proportion, colour: str
) -> None:
    share, low, high = 100 * found.share, 100 * found.low, 100 * found.high
    axes.barh(position, share, width, color=colour)
    # The interval contains the share up to rounding.
    reach = [[max(0.0, share - low)], [max(0.0, high - share)]]
    axes.errorbar(share, position, xerr=reach, color=INK, capsize=2, linewidth=0.9)
    axes.text(high + 2, position, f"{share:.1f}", va="center", fontsize=POINTS, color=INK)


def _swatch(colour: str, label: str) -> object:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)
