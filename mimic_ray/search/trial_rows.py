"""The trials of a search as flat rows: for trials.parquet, tables and frames."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

from mimic_ray.search.trial import Trial

# Fields of a Trial that are not a single column.
_NESTED = ("settings", "scores", "extra", "kept")


def trial_rows(
    trials: Iterable[Trial], chosen: str | None, front: Collection[str]
) -> list[dict[str, Any]]:
    """One row for each trial: its fields, scores and searched keys.

    `chosen` and `front` are ids.
    """
    rows: list[dict[str, Any]] = []
    for trial in trials:
        row = {k: v for k, v in asdict(trial).items() if k not in _NESTED}
        row |= {"kept": ",".join(trial.kept), "front": trial.id in front}
        row |= {"chosen": trial.id == chosen, **trial.scores, **trial.settings, **trial.extra}
        rows.append(row)
    return rows
