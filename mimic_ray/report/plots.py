"""Plots of a run: profile, loss curves, evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base.text import plain
from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.method.estimators.estimator_registry import score_unit
from mimic_ray.method.mi_profile import Profile
from mimic_ray.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    figure,
    legend,
    save,
    save_as,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_profile(profile: Profile, path: Path, *, vector: bool = False) -> None:
    """The score of each tap and of the untrained network; labels are shares of the sum.

    With `vector`, as PDF and SVG too.
    """
    count = len(profile.taps)
    drawing, axes = figure(max(5.0, 1.6 + 0.8 * count), 3.8)
    for position, tap in enumerate(profile.taps):
        colour = BLUE if tap.kept else "white"
        bar = axes.bar(position - 0.2, tap.score, 0.38, color=colour, edgecolor=BLUE, linewidth=1.2)
        axes.bar(position + 0.2, tap.untrained, 0.38, color=GREY, edgecolor=GREY, linewidth=1.2)
        axes.bar_label(bar, [f"{100 * tap.share:.0f} %"], padding=2, fontsize=9, color=INK)
    axes.set_xticks(range(count), [plain(tap.tap, 24) for tap in profile.taps])
    if count > 6:
        axes.tick_params(axis="x", labelrotation=35)
    unit = score_unit(profile.estimator)
    axes.set_ylabel(f"dependence score ({unit})" if unit else "dependence score")
    _headroom(axes)
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
    if vector:
        save_as(drawing, path.parent, path.stem)
    else:
        save(drawing, path)


def plot_losses(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Each loss term by step: a moving average over about 2 % of the run and the raw values."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    drawing, axes = figure(7.0, 3.8)
    steps = np.array([row["step"] for row in rows])
    window = max(1, len(rows) // 50)
    handles = []
    for name, colour in zip(
        loss_terms(rows), cycle((BLUE, ORANGE, GREEN, "#CC79A7")), strict=False
    ):
        values = np.array([row.get(name, np.nan) for row in rows])
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        # Padding with the end values keeps the window full at both ends.
        padded = np.pad(values, (window // 2, (window - 1) // 2), mode="edge")
        smooth = np.convolve(padded, np.ones(window) / window, mode="valid")
        handles += axes.plot(steps, smooth, color=colour, linewidth=1.8, label=plain(name))
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, steps.max(initial=1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title(axes, "Distillation loss", f"bold: mean over {window} steps" if window > 1 else "")
    if len(handles) > 1:
        legend(drawing, handles)
    save(drawing, path)


def loss_terms(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The columns to plot: the total loss and, if there are several terms, each term."""
    not_losses = {"step", "learning_rate", "images_per_s", "data_wait", "loss"}
    keys = dict.fromkeys(key for row in rows for key in row)
    parts = [key for key in keys if key not in not_losses]
    return ["loss", *parts] if len(parts) > 1 else ["loss"]


def plot_evaluation(rows: Sequence[EvaluationRow], path: Path) -> None:
    """ACC, ASR and ASR-B in percent with 95 % intervals, one group of bars for each encoder.

    As PNG at `path`, and as PDF and SVG beside it.
    """
    drawing, axes = figure(max(5.0, 1.8 + 1.6 * len(rows)), 4.0)
    kinds = [("ACC", BLUE), ("ASR", ORANGE), ("ASR-B", GREY)]
    measured = [kind for kind in kinds if any(_measure(row, kind[0]) for row in rows)]
    width = min(0.8 / len(measured), 0.27)
    several_heads = len({row.head for row in rows}) > 1
    handles = []
    for number, (kind, colour) in enumerate(measured):
        offset = (number - (len(measured) - 1) / 2) * width
        for position, row in enumerate(rows):
            if found := _measure(row, kind):
                _bar_with_interval(axes, position + offset, 0.92 * width, found, colour)
        handles.append(_swatch(colour, kind))
    axes.set_xticks(
        range(len(rows)), [_wrapped(row.encoder, row.head if several_heads else "") for row in rows]
    )
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(0, 112)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("percent")
    title(axes, "Accuracy and attack success", "bars with 95 % intervals")
    legend(drawing, handles)
    save_as(drawing, path.parent, path.stem)


def _measure(row: EvaluationRow, kind: str) -> Proportion | None:
    return {"ACC": row.acc, "ASR": row.asr, "ASR-B": row.asr_b}[kind]


def _bar_with_interval(
    axes: Axes, position: float, width: float, found: Proportion, colour: str
) -> None:
    share, low, high = 100 * found.share, 100 * found.low, 100 * found.high
    axes.bar(position, share, width, color=colour)
    # A Wilson interval contains its share up to rounding.
    reach = [[max(0.0, share - low)], [max(0.0, high - share)]]
    axes.errorbar(position, share, reach, color=INK, capsize=3, linewidth=1.1)
    axes.text(position, high + 2, f"{share:.1f}", ha="center", va="bottom", fontsize=9, color=INK)


def _swatch(colour: str, label: str) -> object:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)


def _headroom(axes: Axes) -> None:
    """Adds space for the labels above the bars."""
    axes.set_ylim(0, axes.get_ylim()[1] * 1.08)


def _wrapped(name: str, below: str = "") -> str:
    from textwrap import wrap

    return "\n".join([*wrap(plain(name, 64), 18), below]) or " "
