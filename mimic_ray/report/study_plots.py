"""Plots of a search: Pareto front, settings, kept layers and, in an oracle study, the ASR.

Each is written as PNG, PDF and SVG; the paths are those of the PNG files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.report.style import (
    BLUE,
    GREEN,
    GREY,
    LINES,
    ONE_COLUMN,
    ORANGE,
    POINTS,
    SOFT,
    TWO_COLUMNS,
    figure,
    legend,
    save_as,
    title,
    wrapped,
)
from mimic_ray.search.front import pareto_front
from mimic_ray.search.importance import LEAST_TRIALS, importance
from mimic_ray.search.objectives.objective_registry import OBJECTIVES
from mimic_ray.search.ranking import spearman
from mimic_ray.search.trial import Trial, Value, total

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLIND = "scores use clean images only"
# Of the objectives, in the order of the registry.
_COLOURS = (BLUE, ORANGE, GREEN, GREY)
_MOST_SETTINGS, _MOST_LABELS = 12, 12
_NAME_WIDTH = 90  # points, of the names beside rows
_MOST_LINES = 3  # of a tick
_FEW_TICKS = 5  # more counts of layers than these need the width of two columns


def plot_front(
    path: Path,
    trials: Sequence[Trial],
    chosen: Trial | None,
    oracle: bool,
    pair: tuple[str, str],
) -> None:
    """One objective over another (`pair`: x, y), with the front and the chosen trial."""
    x, y = pair
    drawing, axes = figure(ONE_COLUMN, 2.6)
    handles: list[object] = []
    kinds = [("finished", BLUE, "o"), ("stopped", GREY, "x")]
    for status, colour, marker in kinds:
        some = [trial for trial in trials if trial.scored and trial.status == status]
        if some:
            handles.append(
                axes.scatter(
                    [t.score(x) for t in some],
                    [t.score(y) for t in some],
                    color=colour,
                    marker=marker,
                    s=18,
                    linewidths=1.1,
                    label="finished" if status == "finished" else "stopped early",
                    zorder=3,
                )
            )
    front = sorted(pareto_front(trials), key=lambda t: t.score(x))
    if len(front) > 1 and len(OBJECTIVES) == 2:  # a surface projects to an area
        handles += axes.step(
            [t.score(x) for t in front],
            [t.score(y) for t in front],
            where="post",
            color=BLUE,
            alpha=0.5,
            linewidth=1.2,
            label="front",
        )
    for trial in front:
        _label(axes, trial.score(x), trial.score(y), str(trial.number))
    base = next((trial for trial in trials if trial.base and trial.scored), None)
    rings = ((base, GREEN, "base recipe", 170), (chosen, ORANGE, "chosen", 85))
    for marked, colour, words, size in rings:
        if marked:
            ring = axes.scatter([marked.score(x)], [marked.score(y)], label=words, zorder=4, s=size)
            ring.set(facecolors="none", edgecolors=colour, linewidths=1.5, clip_on=False)
            handles.append(ring)
    axes.set_xlabel(_with_direction(x))
    axes.set_ylabel(_with_direction(y))
    _mark(
        axes, f"{y.capitalize()} and {x} of the trials", f"{_BLIND}; numbers mark the front", oracle
    )
    _finish(drawing, handles, path)


def plot_parallel(path: Path, trials: Sequence[Trial], chosen: Trial | None, oracle: bool) -> None:
    """One line for each trial through its settings and objectives; darker means better."""
    scored = [trial for trial in trials if trial.scored]
    keys = _most_important(scored)
    columns = [_Column(key, [trial.settings.get(key) for trial in scored]) for key in keys]
    for name in OBJECTIVES:
        columns.append(_Column(name, [trial.score(name) for trial in scored]))
    # One row for each, so that names and values have the width that they need.
    drawing, axes = figure(TWO_COLUMNS, 0.2 + 0.4 * len(columns))
    order = sorted(scored, key=lambda trial: total(trial.scores))
    for rank, trial in enumerate(order):
        values = [trial.settings.get(key) for key in keys]
        values += [trial.score(name) for name in OBJECTIVES]
        heights = [column.height(v) for column, v in zip(columns, values, strict=True)]
        best = chosen is not None and trial.id == chosen.id
        axes.plot(
            [float("nan") if height is None else height for height in heights],
            range(len(columns)),
            color=ORANGE if best else BLUE,
            alpha=1.0 if best else 0.15 + 0.55 * rank / max(1, len(order) - 1),
            linewidth=1.8 if best else 0.8,
            marker="o",
            markersize=4 if best else 2,
            zorder=3 if best else 2,
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(len(columns) - 0.3, -0.4)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    for position, column in enumerate(columns):
        axes.axhline(position, color=LINES, linewidth=1, zorder=1)
        # Below its line, from both ends inwards.
        space = 300 / max(2, len(column.ends))  # points
        for height, text in column.ends:
            side = "left" if height < 0.1 else "right" if height > 0.9 else "center"
            axes.text(
                height, position + 0.1, wrapped(text, space), fontsize=POINTS, color=SOFT,
                ha=side, va="top", bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5},
            )  # fmt: skip
    axes.set_yticks(range(len(columns)), [wrapped(_short(c.key), _NAME_WIDTH) for c in columns])
    detail = "orange: chosen; darker: better scores; gap: the setting had no effect in that trial"
    _mark(axes, "Settings and scores", detail, oracle)
    save_as(drawing, path.parent, path.stem)


def plot_importance(path: Path, trials: Sequence[Trial], oracle: bool) -> None:
    """Share of the explained variance of each objective for each setting."""
    found = {name: importance(trials, name) for name in OBJECTIVES}
    weight = {
        key: sum(part.get(key, 0) for part in found.values())
        for part in found.values()
        for key in part
    }
    keys = sorted((key for key in weight if weight[key] > 0.005), key=weight.__getitem__)[
        -_MOST_SETTINGS:
    ]
    drawing, axes = figure(ONE_COLUMN, max(1.2, 0.5 + 0.4 * len(keys)))
    if not keys:
        words = f"Fewer than {LEAST_TRIALS} scored trials: too few for an estimate."
        if sum(trial.scored for trial in trials) >= LEAST_TRIALS:
            words = "No setting explains more than chance."
        axes.text(
            0.5, 0.5, wrapped(words, 72 * ONE_COLUMN - 20), ha="center", va="center",
            transform=axes.transAxes, fontsize=POINTS,
        )  # fmt: skip
        axes.set_axis_off()
    else:
        width = 0.72 / len(found)
        for number, (name, shares) in enumerate(found.items()):
            offset = ((len(found) - 1) / 2 - number) * 1.1 * width
            axes.barh(
                [position + offset for position in range(len(keys))],
                [100 * shares.get(key, 0) for key in keys],
                width,
                color=_COLOURS[number % len(_COLOURS)],
                label=name,
            )
        axes.set_yticks(range(len(keys)), [wrapped(_short(k), _NAME_WIDTH) for k in keys])
        axes.set_xlabel("share of the explained variance (%)")
        axes.grid(axis="x", color=LINES)
        axes.grid(axis="y", visible=False)
    _mark(
        axes, "Importance of the settings", "correlation within these trials, not causation", oracle
    )
    _finish(drawing, axes.get_legend_handles_labels()[0], path)


def plot_kept_layers(
    path: Path, trials: Sequence[Trial], taps: Sequence[str], oracle: bool
) -> None:
    """Each objective by the number of layers in the attention term."""
    scored = [trial for trial in trials if trial.scored]
    counts = sorted({len(trial.kept) for trial in scored} | {0, len(taps)})
    width = ONE_COLUMN if len(counts) <= _FEW_TICKS else TWO_COLUMNS
    drawing, axes = figure(width, 2.4)
    handles = []
    for number, name in enumerate(OBJECTIVES):
        colour = _COLOURS[number % len(_COLOURS)]
        offset = 0.16 * (number - (len(OBJECTIVES) - 1) / 2)
        for status, filled in (("finished", True), ("stopped", False)):
            some = [trial for trial in scored if trial.status == status]
            points = axes.scatter(
                [len(trial.kept) + offset for trial in some],
                [trial.score(name) for trial in some],
                s=18,
                facecolors=colour if filled else "none",
                edgecolors=colour,
                label=name,
            )
            if filled:
                handles.append(points)
    space = 72 * (width - 0.6) / (counts[-1] - counts[0] + 1) - 4  # points of a tick
    ticks = [_kept_words(scored, number, taps, space) for number in counts]
    axes.set_xticks(counts, ticks)
    axes.set_xlim(counts[0] - 0.5, counts[-1] + 0.5)
    axes.set_xlabel("layers in the attention term")
    _mark(
        axes,
        "Kept layers and scores",
        f"none: the term is off; hollow: stopped early; {_BLIND}",
        oracle,
    )
    _finish(drawing, handles, path)


def _kept_words(trials: Sequence[Trial], number: int, taps: Sequence[str], space: float) -> str:
    """`none`, `all 4`, or the names of the layers if all trials keep the same and the names have
    the space (points); otherwise `2 of 4`."""
    if number in (0, len(taps)):
        return wrapped("none" if number == 0 else f"all {number}", space)
    kept = {trial.kept for trial in trials if len(trial.kept) == number}
    names = wrapped(", ".join(kept.pop()), space) if len(kept) == 1 else ""
    fits = names and names.count("\n") < _MOST_LINES
    return names if fits else wrapped(f"{number} of {len(taps)}", space)


def plot_oracle(path: Path, trials: Sequence[Trial], name: str) -> None:
    """ASR, which a defender cannot measure, over the objective that should rank like it."""
    known = with_oracle(trials)
    drawing, axes = figure(ONE_COLUMN, 2.5)
    axes.scatter(
        [t.score(name) for t in known], [t.score("asr") for t in known], color=ORANGE, s=18
    )
    for trial in known if len(known) <= _MOST_LABELS else []:
        _label(axes, trial.score(name), trial.score("asr"), str(trial.number))
    axes.set_xlabel(f"{name} (clean images only)")
    axes.set_ylabel("ASR (%)")
    axes.set_ylim(-3, 103)
    title(axes, f"ORACLE: does {name} rank attack success?", ranking_words(known, name, "asr"))
    save_as(drawing, path.parent, path.stem)


def with_oracle(trials: Sequence[Trial]) -> list[Trial]:
    """The trials with measured ACC and ASR: the finished trials of an oracle study."""
    return [trial for trial in trials if trial.scored and "asr" in trial.scores]


def ranking_words(trials: Sequence[Trial], name: str, measured: str) -> str:
    """Spearman's rho between an objective and the oracle's `acc` or `asr`, as a sentence."""
    found = spearman([t.score(name) for t in trials], [t.score(measured) for t in trials])
    words = f"{name} against {measured.upper()}, {found.count} trials"
    if found.rho != found.rho:
        return f"{words}: too few to rank"
    return f"{words}: Spearman {found.rho:.2f} (95 %: {found.low:.2f} to {found.high:.2f})"


def _most_important(trials: Sequence[Trial]) -> list[str]:
    """The settings to plot: the most important ones, in their usual order."""
    keys = [*dict.fromkeys(key for trial in trials for key in trial.settings)]
    explained = [importance(trials, name) for name in OBJECTIVES]
    weight = {key: sum(part.get(key, 0.0) for part in explained) for key in keys}
    kept = sorted(keys, key=lambda key: -weight[key])[:_MOST_SETTINGS]
    return [key for key in keys if key in kept]


class _Column:
    """One axis of parallel coordinates: maps values to heights in [0, 1]."""

    def __init__(self, key: str, values: Sequence[Value | None]) -> None:
        self.key = key
        present = [value for value in values if value is not None]
        self._words: list[str] = []
        self._low = self._high = 0.0
        self._log = False
        if any(isinstance(value, str | bool) for value in present):
            self._words = sorted({str(value) for value in present})
        elif present:
            numbers = [float(value) for value in present if float(value) > 0] or [0.0]
            # A range over decades uses a log scale, with zero at the bottom.
            self._log = max(numbers) > 30 * min(numbers) > 0
            self._has_zero = any(float(value) == 0 for value in present)
            all_of = numbers if self._log else [float(value) for value in present]
            self._low, self._high = min(all_of), max(all_of)

    def height(self, value: Value | None) -> float | None:
        from math import log

        if value is None:
            return None
        if self._words:
            return self._words.index(str(value)) / max(1, len(self._words) - 1)
        number = float(value)
        if self._log:
            if number <= 0:
                return 0.0
            low, high, number = log(self._low), log(self._high), log(number)
            foot = 0.15 if self._has_zero else 0.0
            return foot + (1 - foot) * (number - low) / ((high - low) or 1.0)
        return (number - self._low) / ((self._high - self._low) or 1.0)

    @property
    def ends(self) -> list[tuple[float, str]]:
        """(height, text) of the labels at the axis."""
        if self._words:
            return [(self.height(word) or 0.0, word) for word in self._words]
        low = 0.0 if self._log and self._has_zero else self._low
        return [(0.0, f"{low:.3g}"), (1.0, f"{self._high:.3g}")]


def _with_direction(name: str) -> str:
    return f"{name} ({OBJECTIVES.resolve(name).better} is better)"


def _mark(axes: Axes, words: str, detail: str, oracle: bool) -> None:
    title(axes, words, f"ORACLE STUDY, the trigger was known; {detail}" if oracle else detail)


def _label(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (5, 5), textcoords="offset points", fontsize=POINTS, color=SOFT)


def _finish(drawing: Figure, handles: Sequence[object], path: Path) -> None:
    if handles:
        legend(drawing, handles)
    save_as(drawing, path.parent, path.stem)


def _short(key: str) -> str:
    """`perturbations.patch.probability` -> `patch probability`."""
    section, _, rest = key.partition(".")
    kept = rest if section in ("perturbations", "training", "student", "loss") else key
    words = kept.replace("mutual_information.threshold", "MI threshold")
    return words.replace(".", " ").replace("_", " ")
