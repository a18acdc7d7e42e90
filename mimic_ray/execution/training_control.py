"""How a worker reports progress and learns that it must stop, whatever process it runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mimic_ray.base.progress import Progress, ProgressCallback, ignore_progress
from mimic_ray.search.trial import Trial


class TrainingControl(Protocol):
    """The connection of a worker to the command that started it."""

    def post(self, progress: Progress) -> None:
        """Reports progress. Does not wait."""

    def should_stop(self) -> bool:
        """Whether a stop was requested. Only rank 0 asks."""

    def draining(self) -> int:
        """How many machines were announced to be taken away so far. Only rank 0 asks."""

    def check_current(self) -> None:
        """Raises TrainingError if newer workers have replaced this one. Called before commits."""


class TrialControl(TrainingControl, Protocol):
    """The same for a trial of a search."""

    def report(self, trial: Trial) -> None:
        """Reports scores at a rung and at the end. The search may end the process here."""


@dataclass(frozen=True)
class LocalControl:
    """Training in the process of the command itself."""

    on_progress: ProgressCallback = ignore_progress
    stop_requested: Callable[[], bool] = lambda: False
    on_trial: Callable[[Trial], None] = lambda trial: None

    def post(self, progress: Progress) -> None:
        self.on_progress(progress)

    def should_stop(self) -> bool:
        return self.stop_requested()

    def draining(self) -> int:
        return 0

    def check_current(self) -> None:
        """There are no other workers."""

    def report(self, trial: Trial) -> None:
        self.on_trial(trial)
