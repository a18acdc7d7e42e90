"""How far a search is, for displays."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mimic_ray.search.trial import RunningTrial, Trial


@dataclass
class SearchProgress:
    """`ended_before` of the ended trials had ended when this command started."""

    planned: int
    ended: list[Trial]
    ended_before: int = 0
    running: dict[str, RunningTrial] = field(default_factory=dict)  # by trial id
    concurrent: int = 1
    started: float = field(default_factory=time.monotonic)

    @property
    def remaining(self) -> int:
        return self.planned - len(self.ended)

    def seconds_left(self) -> float | None:
        """Estimated from the pace so far; None before a trial of this command has ended."""
        parts = sum(run.step / max(1, run.total_steps) for run in self.running.values())
        done = len(self.ended) - self.ended_before
        if done < 1:
            return None
        pace = (time.monotonic() - self.started) / (done + parts)
        return max(0.0, (self.remaining - parts) * pace)


SearchProgressCallback = Callable[[SearchProgress], None]


def ignore_search_progress(progress: SearchProgress) -> None:
    """The default `on_search_progress`: displays nothing."""
