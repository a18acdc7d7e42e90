"""The progress of a search: a table on a terminal, elsewhere lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, nan
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mimic_ray.base.text import duration
from mimic_ray.cli import console
from mimic_ray.search.objectives.objective_registry import OBJECTIVES
from mimic_ray.search.trial import RunningTrial, Trial, score_text, total

if TYPE_CHECKING:
    from mimic_ray.search.search_progress import SearchProgress

_REDRAW_S = 0.5
_WIDTHS = {
    "trial": 5,
    "status": 15,
    "step": 9,
    **{name: max(6, len(name)) for name in OBJECTIVES},
    "s": 5,
}
# Columns that a table needs for the settings; with less they get lines of their own.
_LEAST_SETTINGS = 30
# More than a trial has on most screens: the number of trials that fit is found in a few rounds.
_MOST_LINES = 6
_WORDS = {"finished": "finished", "stopped": "stopped early", "failed": "failed"}


@contextmanager
def shown_study() -> Iterator[Callable[[SearchProgress], None]]:
    """Yields a function that displays the progress of a search."""
    if not console.is_interactive():
        yield StudyLines(console.line_interval_s()).update
        return
    table = _LiveTable()
    try:
        yield table.update
    finally:
        table.close()


class StudyLines:
    """For logs: a line for each trial when it has finished, and the state every `every_s` seconds.

    The first state is printed at once, none with infinity.
    """

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._shown: set[str] | None = None
        self._every_s, self._clock = every_s, clock
        self._printed = -inf

    def update(self, progress: SearchProgress) -> None:
        if self._shown is None:  # finished before a resume
            self._shown = {trial.id for trial in progress.ended[: progress.ended_before]}
        for trial in progress.ended:
            if trial.id not in self._shown:
                self._shown.add(trial.id)
                scores = trial.objectives_in_words(3)
                why = f": {trial.error}" if trial.error else ""
                console.note(
                    f"trial {trial.number} {_WORDS[trial.status]} at step {trial.step}: {scores} "
                    f"({len(self._shown)} of {progress.planned}){why}"
                )
        now = self._clock()
        if now - self._printed >= self._every_s < inf:
            self._printed = now
            console.note(_state(progress))


def _state(progress: SearchProgress) -> str:
    """One line: `Trials: 3 of 16 ended, 2 running (4: step 150 of 600, ...), about 5 min left`."""
    text = f"Trials: {len(progress.ended)} of {progress.planned} ended"
    if progress.running:
        steps = ", ".join(
            f"{run.number}: step {run.step:,} of {run.total_steps:,}"
            for run in progress.running.values()
        )
        text += f", {len(progress.running)} running ({steps})"
    left = progress.seconds_left()
    return text if left is None else f"{text}, about {duration(left)} left"


class _LiveTable:
    """Starts with the first update, below the progress bars of the preparation."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._drawn = 0.0
        self._newest: SearchProgress | None = None

    def update(self, progress: SearchProgress) -> None:
        if self._live is None:
            self._live = Live(console=console.err, auto_refresh=False, transient=False)
            self._live.start()
        self._newest = progress
        if time.monotonic() - self._drawn >= _REDRAW_S:
            self._drawn = time.monotonic()
            self._live.update(self._table(progress), refresh=True)

    def close(self) -> None:
        if self._live and self._newest:
            self._live.update(self._table(self._newest), refresh=True)
            self._live.stop()

    def _table(self, progress: SearchProgress) -> Group:
        """As many ended trials as fit the screen: rich cuts what is higher."""
        left, shown = progress.seconds_left(), max(1, console.err.height)
        while True:
            made = study_table(
                progress.ended, progress.running, progress.planned, shown, left, console.err.width
            )
            # Below it there is the cursor's line.
            over = len(console.err.render_lines(made, pad=False)) - (console.err.height - 1)
            if over <= 0 or shown == 0:
                return made
            shown = max(0, min(shown, len(progress.ended)) - max(1, over // _MOST_LINES))


def study_table(
    ended: Sequence[Trial],
    running: Mapping[str, RunningTrial],
    planned: int,
    max_ended: int,
    time_left_s: float | None = None,
    width: int = 120,
) -> Group:
    """At most `max_ended` finished trials, the best and the newest, then the running ones.

    In `width` columns: a table, or a paragraph for each trial if its settings have too little
    space beside the numbers. Nothing is cut.
    """
    shown = _worth_showing(ended, max_ended)
    rows = [_ended_row(trial) for trial in sorted(shown, key=lambda trial: trial.number)]
    rows += [_running_row(active) for active in running.values()]
    hidden = len(ended) - len(shown)
    words = f"{len(ended)} of {planned} trials" + (f", {hidden} not shown" if hidden else "")
    if time_left_s is not None:
        words += f", about {duration(time_left_s)} left"
    numbers = sum(_WIDTHS.values()) + len(_WIDTHS)
    if width - numbers < _LEAST_SETTINGS:
        return Group(*map(_paragraph, rows), Text(words))
    return Group(_wide(rows), Text(words))


@dataclass(frozen=True)
class _Row:
    """The cells of a trial: those of `_WIDTHS`, then its settings."""

    cells: tuple[str, ...]
    settings: str
    style: str


def _ended_row(trial: Trial) -> _Row:
    status = _WORDS[trial.status] + (" (base)" if trial.base else "")
    cells = (str(trial.number), status, str(trial.step), *_scores(trial.scores))
    style = {"failed": "red", "stopped": "dim"}.get(trial.status, "")
    return _Row((*cells, f"{trial.seconds:.0f}"), _brief(trial.settings), style)


def _running_row(active: RunningTrial) -> _Row:
    steps = f"{active.step}/{active.total_steps}"
    cells = (str(active.number), "running", steps, *_scores(active.scores))
    seconds = f"{time.time() - active.started:.0f}"
    return _Row((*cells, seconds), _brief(active.settings), "cyan")


def _wide(rows: Sequence[_Row]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for name, width in _WIDTHS.items():
        left = name in ("trial", "status")
        table.add_column(name, justify="left" if left else "right", min_width=width, no_wrap=True)
    table.add_column("settings", overflow="fold", ratio=1)
    for row in rows:
        table.add_row(*map(Text, row.cells), Text(row.settings, overflow="fold"), style=row.style)
    return table


def _paragraph(row: _Row) -> Text:
    """`trial 3, finished, step 600, fidelity 0.800, ...`, then the settings on lines of their
    own."""
    number, status, *others = row.cells
    named = zip([*_WIDTHS][2:], others, strict=True)
    found = [
        f"{cell} s" if name == "s" else f"{name} {cell}" for name, cell in named if cell != "-"
    ]
    text = ", ".join([f"trial {number}", status, *found]) + (
        f"\n  {row.settings}" if row.settings else ""
    )
    return Text(text, style=row.style, overflow="fold")


def _worth_showing(ended: Sequence[Trial], number: int) -> list[Trial]:
    if len(ended) <= number:
        return [*ended]
    scored = [trial for trial in ended if trial.scored and trial.status == "finished"]
    best = sorted(scored, key=lambda trial: -total(trial.scores))[: number // 2]
    newest = [trial for trial in ended[::-1] if trial not in best]
    return [*best, *newest[: number - len(best)]]


def _brief(settings: Mapping[str, object]) -> str:
    """A short form that identifies a trial: `rate 0.004, patch 0.5 x1.2 ...`."""
    words = []
    for key, value in settings.items():
        name = key.removeprefix("perturbations.").removeprefix("training.").removeprefix("loss.")
        name = (
            name.removesuffix(".probability")
            .removesuffix(".weight")
            .replace("mutual_information.", "MI ")
        )
        if not name.endswith(".strength"):
            words.append(f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}")
    return ", ".join(words)


def _scores(scores: Mapping[str, float]) -> list[str]:
    return [score_text(scores.get(name, nan), 3) for name in OBJECTIVES]
