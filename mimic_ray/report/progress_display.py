"""Progress of long work: bars on a terminal or in a notebook, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from mimic_ray.base.argument_types import checked_arguments
from mimic_ray.base.progress import Progress, ProgressCallback
from mimic_ray.base.text import duration

_PHASES = {
    "start": "Starting Ray",
    "capacity": "Waiting for nodes (s)",
    "decode": "Decoding images",
    "profile": "Profiling the layers",
    "openings": "Finding openings",
    "teacher": "Teacher outputs",
    "held out": "Held-out images",
    "trusted": "Reference scores",
    "check": "Checking fidelity",
    "distil": "Distilling",
    "scan": "Scanning",
    # Seconds without a step, and the number after which the run is ended.
    "silent": "No step for (s)",
    "busy": "No step for (s)",
}
# Why there may be no step, on a cluster and where all workers are on one machine.
_NO_STEP = {
    "silent": "a node or the network may not respond",
    "busy": "this machine may be busy",
}
_NOT_A_TERM = ("step", "learning_rate")
LINE_EVERY_S = 30.0


@checked_arguments
@contextmanager
def show_progress(every_s: float = LINE_EVERY_S) -> Iterator[ProgressCallback]:
    """Displays the progress of the calls inside the block.

    Bars on a terminal and in a notebook (which needs `ipywidgets`), elsewhere lines on stderr: at
    the start and the end of each phase, and every `every_s` seconds.

    Example:
        with mimic_ray.show_progress() as on_progress:
            found = mimic_ray.profile("resnet50", "suspect.pth", "images", on_progress=on_progress)
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if console.is_terminal or (console.is_jupyter and find_spec("ipywidgets")):
        with progress_bars(console) as on_progress:
            yield on_progress
    else:
        yield progress_lines(console, every_s)


@contextmanager
def progress_bars(console: Console) -> Iterator[ProgressCallback]:
    """One bar for each phase, from the first one on: before it the terminal is free."""
    bars = Bars(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
        console=console,
    )
    tasks: dict[str, TaskID] = {}

    def on_progress(progress: Progress) -> None:
        bars.start()  # does nothing the second time
        if progress.phase not in tasks:
            name = _PHASES.get(progress.phase, progress.phase)
            tasks[progress.phase] = bars.add_task(name, total=progress.total, detail="")
        detail = "  ".join(_numbers(progress))
        task = tasks[progress.phase]
        bars.update(task, completed=progress.done, total=progress.total, detail=detail)

    try:
        yield on_progress
    finally:
        bars.stop()


def progress_lines(
    console: Console,
    every_s: float = LINE_EVERY_S,
    clock: Callable[[], float] = time.monotonic,
) -> ProgressCallback:
    """A line at the start and the end of each phase, and one every `every_s` seconds between.

    None of these with infinity. Always prints, once each time, that steps have stopped and that
    they continue.
    """
    silent, printed_at = False, 0.0
    phases: dict[str, _Phase] = {}

    def print_line(progress: Progress, more: str = "") -> None:
        name = _PHASES.get(progress.phase, progress.phase)
        words = f"{name}: {progress.done:,} of {progress.total:,}"
        text = ", ".join([words, *_numbers(progress), *([more] if more else [])])
        console.print(text, soft_wrap=True)

    def on_progress(progress: Progress) -> None:
        nonlocal silent, printed_at
        if progress.phase in _NO_STEP:
            if bool(progress.done) != silent:
                silent = bool(progress.done)
                console.print(
                    f"No step for {progress.done} s: {_NO_STEP[progress.phase]}."
                    if silent
                    else "Steps continue."
                )
            return
        if every_s == float("inf"):
            return
        now, phase = clock(), phases.get(progress.phase)
        if phase is None or progress.done < phase.newest:  # the first time, or again
            phases[progress.phase] = _Phase(now, progress.done, progress.done)
            printed_at = now
            print_line(progress)
            return
        ends = progress.done >= progress.total > phase.newest
        phase.newest = progress.done
        if ends or now - printed_at >= every_s:
            printed_at = now
            print_line(progress, "" if ends else phase.time_left(now, progress.total))

    return on_progress


@dataclass
class _Phase:
    """When a phase began, at what count, and the newest count."""

    began: float
    first: int
    newest: int

    def time_left(self, now: float, total: int) -> str:
        """Estimated from the pace so far; "" before there is one."""
        done, seconds = self.newest - self.first, now - self.began
        if done <= 0 or seconds <= 0:
            return ""
        return f"about {duration((total - self.newest) * seconds / done)} left"


def _numbers(progress: Progress) -> list[str]:
    terms = [
        f"{name} {value:.4f}" for name, value in progress.row.items() if name not in _NOT_A_TERM
    ]
    rate, wait = progress.images_per_s, progress.data_wait
    speed = [f"{rate:,.0f} images/s"] if rate else []
    return [*terms, *speed, *([f"{wait:.0%} waiting for data"] if wait >= 0.005 else [])]
