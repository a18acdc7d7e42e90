"""One trial of a search: what was tried, how it ended, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any, Literal

from mimic_ray.search.objectives.objective_registry import OBJECTIVES

# running: begun and not ended, as a kill leaves it. stopped: ended early by the search, as unlikely
# to win; its scores are those of the step it reached. failed: ended by an error.
Status = Literal["running", "finished", "stopped", "failed"]
Value = float | int | str | bool


@dataclass(frozen=True)
class Trial:
    """The record of one trial.

    `scores` holds the objectives, their parts and, in an oracle study, `acc` and `asr` (percent);
    a score that is unknown is not in it.
    """

    id: str  # of the canonical recipe: equal trials have equal ids
    number: int  # in the order they were begun, from 0
    status: Status
    settings: Mapping[str, Value]  # searched recipe keys
    kept: tuple[str, ...] = ()  # taps that the attention term uses
    step: int = 0
    seconds: float = 0.0  # of training
    overhead_s: float = 0.0  # of the rest of the trial's time: start, scores, files
    scores: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    base: bool = False  # the base recipe itself: what the others are compared with
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_scores(self, scores: Mapping[str, float]) -> Trial:
        """The same trial with some of its scores replaced; NaN removes one."""
        merged = {**self.scores, **scores}
        return replace(self, scores={k: v for k, v in merged.items() if v == v})

    def with_overhead(self, wall_s: float, before: Trial) -> Trial:
        """The same trial with its overhead, after `wall_s` more seconds since the record `before`.

        What a trial did before it was resumed is in `before` and does not count twice.
        """
        trained = self.seconds - before.seconds
        overhead = max(0.0, wall_s - trained - (self.scoring_s - before.scoring_s))
        return replace(self, overhead_s=round(before.overhead_s + overhead, 2))

    @property
    def scoring_s(self) -> float:
        """Seconds that its scores took."""
        return float(self.extra.get("scoring_s", 0.0))

    def score(self, name: str) -> float:
        """One score, NaN if it is unknown."""
        return self.scores.get(name, nan)

    @property
    def scored(self) -> bool:
        """Whether all objectives are known."""
        return all(name in self.scores for name in OBJECTIVES)

    def objectives_in_words(self, digits: int = 4) -> str:
        """`fidelity 0.9123, suspicion 0.2000`; a dash for what is unknown."""
        return ", ".join(f"{name} {score_text(self.score(name), digits)}" for name in OBJECTIVES)


@dataclass(frozen=True)
class RunningTrial:
    """A trial under way. `started` is in seconds since the epoch, scores are of the last rung."""

    id: str
    number: int
    settings: Mapping[str, Value]
    step: int
    total_steps: int
    started: float
    scores: Mapping[str, float] = field(default_factory=dict)


def score_text(score: float, digits: int = 4) -> str:
    """A score as text; a dash if it is unknown."""
    return "-" if score != score else f"{score:.{digits}f}"


def total(scores: Mapping[str, float]) -> float:
    """All objectives as one number, larger is better: their sum, with the sign of their direction.

    For early stopping and for displays; the search itself keeps the objectives separate.
    """
    return sum(OBJECTIVES.resolve(name).sign * scores.get(name, nan) for name in OBJECTIVES)
