"""Progress of long work on a terminal; nothing where the output is none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from mimic_ray.cli import console

if TYPE_CHECKING:
    from mimic_ray.base.progress import Progress as News

_WORDS = {
    "start": "Starting Ray",
    "capacity": "Waiting for the cluster, in seconds",
    "decode": "Decoding images",
    "profile": "Profiling the layers",
    "teacher": "Teacher outputs",
    "untouched": "Untouched encoders",
    "distil": "Distilling",
    # Seconds of silence, against those after which the run is ended.
    "silent": "No step for (s)",
}


@contextmanager
def shown_progress() -> Iterator[Callable[[News], None]]:
    """Yields a function that takes news from a run and shows it."""
    if not console.err.is_terminal:
        yield _told_in_words()
        return
    bar = Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
        console=console.err,
    )
    tasks: dict[str, TaskID] = {}

    def on_progress(news: News) -> None:
        if news.phase not in tasks:
            words = _WORDS.get(news.phase, news.phase)
            tasks[news.phase] = bar.add_task(words, total=news.total, detail="")
        detail = "  ".join(_numbers(news))
        bar.update(tasks[news.phase], completed=news.done, total=news.total, detail=detail)

    with bar:
        yield on_progress


def _told_in_words() -> Callable[[News], None]:
    """For a log: what a reader must know, once each time that it happens.

    With MIMIC_RAY_PROGRESS_S, as jobs have it, also a line every so many seconds.
    """
    every_s = float(os.environ.get("MIMIC_RAY_PROGRESS_S") or "inf")
    silent, told_phase, told_at = False, "", 0.0

    def on_progress(news: News) -> None:
        nonlocal silent, told_phase, told_at
        if news.phase == "silent":
            if bool(news.done) != silent:
                silent = bool(news.done)
                console.err.print(
                    f"No step for {news.done} s: a node or the network may be silent."
                    if silent
                    else "The steps go on."
                )
            return
        clock = time.monotonic()
        if every_s < float("inf") and (news.phase != told_phase or clock - told_at >= every_s):
            told_phase, told_at = news.phase, clock
            words = f"{_WORDS.get(news.phase, news.phase)}: {news.done:,} of {news.total:,}"
            console.err.print(", ".join([words, *_numbers(news)]), markup=False, soft_wrap=True)

    return on_progress


def _numbers(news: News) -> list[str]:
    terms = [f"{name} {value:.4f}" for name, value in news.row.items() if name in _TERMS]
    return [*terms, *([f"{news.images_per_s:,.0f} images/s"] if news.images_per_s else [])]


_TERMS = ("loss", "clone", "attention", "contrastive")


@contextmanager
def counted(words: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function that takes (done, total) and shows it as one bar under `words`."""
    columns = (TextColumn(words), BarColumn(bar_width=24), MofNCompleteColumn())
    bar = Progress(
        *columns,
        TimeRemainingColumn(),
        console=console.err,
        disable=not console.err.is_terminal,
    )
    task = bar.add_task(words)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total)
