"""Results as tables: `rich` prints them, `table_files.py` writes them to files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict

from mimic_ray.base.text import plain
from mimic_ray.evaluation.results import LASTING, EvaluationRow, Proportion
from mimic_ray.method.mi_profile import Profile
from mimic_ray.report.evaluation_words import evaluation_note, row_labels
from mimic_ray.report.fitted_table import NOT_MEASURED, FittedTable
from mimic_ray.search.front import pareto_front
from mimic_ray.search.objectives.objective_registry import OBJECTIVES
from mimic_ray.search.trial import Trial, score_text
from mimic_ray.search.trial_rows import trial_rows

_AFTER_TRAINING = {
    "distilled": "Distilled: after plain distillation steps from the suspect encoder.",
    "tuned": "Tuned: a user's model, fine-tuned on 1 % of the labelled images, "
    "at least 10 a class.",
}


def percent(proportion: Proportion | None) -> str:
    """`82.4 % (80.7-84.0)`: share and 95 % interval, or a dash if it was not measured."""
    if proportion is None:
        return NOT_MEASURED
    low, high = 100 * proportion.low, 100 * proportion.high
    return f"{100 * proportion.share:.1f} % ({low:.1f}-{high:.1f})"


def evaluation_table(rows: Sequence[EvaluationRow]) -> FittedTable:
    """ACC, ASR and ASR-B with intervals, one line for each encoder and head; after further training
    too if it was measured."""
    header = {"acc": "ACC", "asr": "ASR", "asr_b": "ASR-B"}
    notes = [evaluation_note(rows)]
    lasting = {name: _after(name) for name in LASTING if any(getattr(row, name) for row in rows)}
    notes += after_training(lasting)
    columns = header | lasting
    lines = [
        [label, *(percent(getattr(row, name)) for name in columns)]
        for label, row in zip(row_labels(rows), rows, strict=True)
    ]
    # The rows of one name have the same failures.
    notes += dict.fromkeys(plain(row.failure, 400) for row in rows if row.failure)
    return FittedTable(
        ["Encoder", *columns.values()],
        lines,
        notes,
        records=[row.flat() for row in rows],
    )


def after_training(columns: Collection[str]) -> list[str]:
    """How to read `columns`, names of a row's measurements after further training."""
    return [
        sentence
        for training, sentence in _AFTER_TRAINING.items()
        if any(column.endswith(training) for column in columns)
    ]


def _after(name: str) -> str:
    """`ASR tuned`, from the name of a column."""
    measure, training = name.split("_")
    return f"{measure.upper()} {training}"


def profile_table(profile: Profile, *, weights: bool = True) -> FittedTable:
    """One line for each tap: score, score of the untrained network, share, weight if kept.

    Without `weights`, for a loss that reads no tap.
    """
    header, hidden = ["Tap", "Score", "Untrained", "Share"], ("kept", "weight")
    lines = [
        [
            plain(tap.tap),
            f"{tap.score:.2f}",
            f"{tap.untrained:.2f}",
            f"{100 * tap.share:.1f} %",
        ]
        for tap in profile.taps
    ]
    records = [asdict(tap) for tap in profile.taps]
    if weights:
        header.append("Weight")
        for line, tap in zip(lines, profile.taps, strict=True):
            line.append(f"{tap.weight:.2f}" if tap.kept else "not kept")
    else:
        records = [{k: v for k, v in row.items() if k not in hidden} for row in records]
    return FittedTable(header, lines, [_estimate(profile)], records=records)


def _estimate(profile: Profile) -> str:
    return f"{profile.estimator} estimate on {profile.images:,} images, shares of the {profile.of}"


def front_table(front: Sequence[Trial], chosen: Trial | None) -> FittedTable:
    """The Pareto front of a search; a star marks the chosen trial."""
    best = chosen.id if chosen else None
    oracle = _oracle(front)
    head = ["trial", *OBJECTIVES, *(["oracle: ACC", "ASR"] if oracle else [])]
    rows = [
        [f"{trial.number}{'*' if trial.id == best else ''}", *_scores(trial, oracle)]
        for trial in front
    ]
    return FittedTable(head, rows, records=trial_rows(front, best, [each.id for each in front]))


def trials_table(trials: Sequence[Trial], chosen: Trial | None) -> FittedTable:
    """All trials of a search with their scores, their cost and a column for each setting."""
    best = chosen.id if chosen else None
    front = {trial.id for trial in pareto_front(trials)}
    oracle = _oracle(trials)
    keys = [*dict.fromkeys(key for trial in trials for key in trial.settings)]
    head = ["trial", "status", *OBJECTIVES, *(["oracle: ACC", "ASR"] if oracle else [])]
    head += ["steps", "training s", "kept layers", *keys]
    rows = [
        [
            f"{trial.number}{'*' if trial.id == best else ''}",
            trial.status,
            *_scores(trial, oracle),
            f"{trial.step}",
            f"{trial.seconds:.1f}",
            plain(", ".join(trial.kept)) or NOT_MEASURED,
            *(_setting(trial, key) for key in keys),
        ]
        for trial in trials
    ]
    return FittedTable(head, rows, records=trial_rows(trials, best, front))


def _oracle(trials: Sequence[Trial]) -> list[str]:
    """The scores of an oracle study; [] for another."""
    return ["acc", "asr"] if any("asr" in trial.scores for trial in trials) else []


def _scores(trial: Trial, oracle: Sequence[str]) -> list[str]:
    return [
        *(score_text(trial.score(name)) for name in OBJECTIVES),
        *(score_text(trial.score(name), 1) for name in oracle),
    ]


def _setting(trial: Trial, key: str) -> str:
    value = trial.settings.get(key)
    if isinstance(value, float):
        return f"{value:.4g}"
    return NOT_MEASURED if value is None else plain(value)
