"""Results as tables: for the terminal (rich), and as Markdown for model cards and documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mimic_ray.base.text import plain
from mimic_ray.evaluation.results import EvaluationRow, Proportion
from mimic_ray.method.mi_profile import Profile
from mimic_ray.report.fitted_table import NOT_MEASURED, FittedTable
from mimic_ray.search.objectives.objective_registry import OBJECTIVES
from mimic_ray.search.trial import Trial, score_text


def percent(proportion: Proportion | None) -> str:
    """`82.4 % (80.7-84.0)`: share and 95 % interval, or a dash if it was not measured."""
    if proportion is None:
        return NOT_MEASURED
    low, high = 100 * proportion.low, 100 * proportion.high
    return f"{100 * proportion.share:.1f} % ({low:.1f}-{high:.1f})"


def evaluation_table(rows: Sequence[EvaluationRow]) -> FittedTable:
    """ACC, ASR and ASR-B with intervals, one line for each encoder and head."""
    return FittedTable(*_evaluation_cells(rows), [evaluation_note(rows)])


def evaluation_markdown(rows: Sequence[EvaluationRow]) -> str:
    """The same as a Markdown table with its note."""
    return f"{_markdown_table(*_evaluation_cells(rows))}\n\n{evaluation_note(rows)}"


def evaluation_note(rows: Sequence[EvaluationRow]) -> str:
    """How to read the numbers, with the largest spread between seeds."""
    note = "95 % confidence intervals in brackets."
    seeds = max((len(row.scores) for row in rows), default=0)
    if seeds < 2:
        return note
    acc = _largest_spread(row.acc_range() for row in rows)
    asr = _largest_spread(limits for row in rows if (limits := row.asr_range()))
    spreads = f"ACC by {acc:.1f}" if asr is None else f"ACC by {acc:.1f} and in ASR by {asr:.1f}"
    return f"{note} Means of {seeds} heads; they differ at most in {spreads} points."


def _largest_spread(ranges: Iterable[tuple[float, float]]) -> float | None:
    """In percentage points; None without ranges."""
    return max((100 * (high - low) for low, high in ranges), default=None)


def row_labels(rows: Sequence[EvaluationRow]) -> list[str]:
    """The label of each row: the encoder, and its head if there are several kinds."""
    several = len({row.head for row in rows}) > 1
    return [plain(f"{row.encoder}, {row.head}" if several else row.encoder) for row in rows]


def profile_table(profile: Profile) -> FittedTable:
    """One line for each tap: score, score of the untrained network, share, weight if kept."""
    header, lines = _profile_cells(profile)
    return FittedTable(header, lines, [_estimate(profile)])


def profile_markdown(profile: Profile, *, weights: bool = True) -> str:
    """The same as a Markdown table; without `weights`, for a loss that reads no tap."""
    header, lines = _profile_cells(profile)
    shown = len(header) if weights else len(header) - 1
    return _markdown_table(header[:shown], [line[:shown] for line in lines])


def _evaluation_cells(rows: Sequence[EvaluationRow]) -> tuple[list[str], list[list[str]]]:
    lines = [
        [label, percent(row.acc), percent(row.asr), percent(row.asr_b)]
        for label, row in zip(row_labels(rows), rows, strict=True)
    ]
    return ["Encoder", "ACC", "ASR", "ASR-B"], lines


def _profile_cells(profile: Profile) -> tuple[list[str], list[list[str]]]:
    lines = [
        [
            plain(tap.tap),
            f"{tap.score:.2f}",
            f"{tap.untrained:.2f}",
            f"{100 * tap.share:.1f} %",
            f"{tap.weight:.2f}" if tap.kept else "not kept",
        ]
        for tap in profile.taps
    ]
    return ["Tap", "Score", "Untrained", "Share", "Weight"], lines


def _estimate(profile: Profile) -> str:
    return f"{profile.estimator} estimate on {profile.images:,} images, shares of the {profile.of}"


def front_table(front: Sequence[Trial], chosen: Trial) -> FittedTable:
    """The Pareto front of a search; a star marks the chosen trial."""
    oracle = ["acc", "asr"] if any("asr" in trial.scores for trial in front) else []
    head = ["trial", *OBJECTIVES, *(["oracle: ACC", "ASR"] if oracle else [])]
    rows = [
        [
            f"{trial.number}{'*' if trial.id == chosen.id else ''}",
            *(score_text(trial.score(name)) for name in OBJECTIVES),
            *(score_text(trial.score(name), 1) for name in oracle),
        ]
        for trial in front
    ]
    return FittedTable(head, rows)


def _markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    alignment = [":--", *["--:"] * (len(header) - 1)]
    escaped = [[markdown_text(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, alignment, *escaped])


def markdown_text(text: object, limit: int = 200) -> str:
    """Text from outside, escaped so that it cannot become a table cell, link, image or HTML."""
    shown = plain(text, limit).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|" else c for c in shown)
