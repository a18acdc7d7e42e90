"""One trial of a search: what was tried, how it ended, what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any, Literal

# running: begun and not ended, as a kill leaves it. stopped: ended early by the search, as unlikely
# to win; its scores are those of the step it reached. failed: ended by an error.
Status = Literal["running", "finished", "stopped", "failed"]
Value = float | int | str | bool


@dataclass(frozen=True)
class Trial:
    """`fidelity` and its parts are better high, `suspicion` and its parts better low; NaN is
    unknown. `acc` and `asr` (percent) exist in an oracle study alone."""

    id: str  # of the canonical recipe: equal trials have equal ids
    number: int  # in the order they were begun, from 0
    status: Status
    settings: Mapping[str, Value]  # searched recipe keys
    kept: tuple[str, ...] = ()  # taps that the attention term uses
    step: int = 0
    seconds: float = 0.0  # of training
    overhead_s: float = 0.0  # of the rest of the trial's time: start, scores, files
    fidelity: float = nan
    cosine: float = nan
    overlap: float = nan
    suspicion: float = nan
    universal: float = nan
    inversion: float = nan
    occlusion: float = nan
    acc: float = nan
    asr: float = nan
    error: str = ""
    base: bool = False  # the base recipe itself: what the others are measured by
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_scores(self, scores: Mapping[str, float]) -> Trial:
        """The same trial with some of its scores replaced."""
        return replace(self, **dict[str, Any](scores))

    @property
    def scored(self) -> bool:
        """Whether both objectives are known."""
        return self.fidelity == self.fidelity and self.suspicion == self.suspicion


@dataclass(frozen=True)
class RunningTrial:
    """A trial under way. `started` is in seconds since the epoch, scores are of the last rung."""

    id: str
    number: int
    settings: Mapping[str, Value]
    step: int
    total_steps: int
    started: float
    fidelity: float = nan
    suspicion: float = nan
