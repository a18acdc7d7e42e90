"""Progress of long work, passed to a callback that displays it.

Has no heavy imports, because a Ray actor imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mimic_ray.base.errors import StoppedError


@dataclass(frozen=True)
class Progress:
    """State of one phase of a call, passed to its `on_progress`.

    Example:
        def on_progress(progress):
            print(progress.phase, progress.done, "of", progress.total)
    """

    phase: str  # "decode", "profile", "distil" ..., or a text to display unchanged
    done: int
    total: int
    # While distilling, the metrics of the last step: loss, clone ...
    row: Mapping[str, float] = field(default_factory=dict)
    images_per_s: float = 0.0
    # Share of the time in which a step waited for its images, in [0, 1].
    data_wait: float = 0.0


ProgressCallback = Callable[[Progress], None]
StepCallback = Callable[[int, int], None]  # (done, total) of one phase


def starting(on_progress: ProgressCallback) -> ProgressCallback:
    """Reports the phase "start" now, and its end before the first other phase."""
    on_progress(Progress("start", 0, 1))
    started = False

    def report(progress: Progress) -> None:
        nonlocal started
        if not started:
            started = True
            on_progress(Progress("start", 1, 1))
        on_progress(progress)

    return report


def stoppable(
    on_progress: ProgressCallback, should_stop: Callable[[], int | bool], sentence: str
) -> ProgressCallback:
    """Reports progress, and raises StoppedError with the sentence after a stop request.

    So work that reports its progress needs no other check.
    """

    def report(progress: Progress) -> None:
        if should_stop():
            raise StoppedError(sentence)
        on_progress(progress)

    return report


def ignore_progress(progress: Progress) -> None:
    """The default `on_progress`: displays nothing."""
