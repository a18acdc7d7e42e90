"""The display of progress on a terminal and elsewhere."""

from __future__ import annotations

from io import StringIO
from itertools import count

import pytest
from rich.console import Console

from mimic_ray.base.progress import Progress
from mimic_ray.report.progress_display import progress_bars, progress_lines, show_progress

STEPS = [Progress("distil", step, 600, {"loss": 0.25}, 1234.5) for step in (1, 2, 3)]
NEVER = float("inf")


def lines(every_s: float, *steps: Progress, seconds: float = 0.0) -> list[str]:
    """What is printed for steps that are `seconds` apart."""
    console = Console(file=StringIO(), width=200, record=True)
    ticks = count()
    on_progress = progress_lines(console, every_s, lambda: seconds * next(ticks))
    for progress in steps:
        on_progress(progress)
    return console.export_text().splitlines()


def test_without_an_interval_steps_print_nothing():
    assert lines(NEVER, *STEPS) == []


def test_the_start_and_the_end_of_each_phase_are_printed_at_once():
    decode = [Progress("decode", done, 200) for done in (0, 100, 200, 200)]
    assert lines(1000, *decode, *STEPS, Progress("distil", 600, 600)) == [
        "Decoding images: 0 of 200",
        "Decoding images: 200 of 200",
        "Distilling: 1 of 600, loss 0.2500, 1,234 images/s",
        "Distilling: 600 of 600",
    ]


def test_a_phase_with_one_message_is_one_line():
    assert lines(30, Progress("profile", 1, 1)) == ["Profiling the layers: 1 of 1"]


def test_between_them_a_line_is_printed_every_30_seconds_with_the_time_left():
    steps = [Progress("distil", step, 1001) for step in range(1, 102)]
    shown = lines(30, *steps, seconds=1)  # one step per second
    assert shown == [
        "Distilling: 1 of 1,001",
        "Distilling: 31 of 1,001, about 16.2 min left",
        "Distilling: 61 of 1,001, about 15.7 min left",
        "Distilling: 91 of 1,001, about 15.2 min left",
    ]


def test_a_phase_that_begins_again_is_printed_again():
    """After dead workers were replaced, images are decoded and steps repeated."""
    steps = [Progress("distil", step, 600) for step in (1, 50, 40, 41)]
    assert lines(1000, *steps) == ["Distilling: 1 of 600", "Distilling: 40 of 600"]


@pytest.mark.parametrize(
    ("phase", "reason"),
    [("silent", "a node or the network may not respond"), ("busy", "this machine may be busy")],
)
def test_a_stop_and_the_continuation_of_steps_are_each_printed_once(phase, reason):
    silent, going = Progress(phase, 60, 600), Progress(phase, 0, 600)
    assert lines(NEVER, silent, silent, going, *STEPS) == [
        f"No step for 60 s: {reason}.",
        "Steps continue.",
    ]


def test_a_terminal_shows_a_bar_for_each_phase():
    console = Console(file=StringIO(), width=120, force_terminal=True, record=True)
    with progress_bars(console) as on_progress:
        for progress in [Progress("clean: train", 8, 8), *STEPS]:
            on_progress(progress)
    shown = console.export_text()
    assert "Distilling" in shown
    assert "3/600" in shown
    assert "clean: train" in shown
    assert "loss 0.2500" in shown


def test_show_progress_prints_lines_without_a_terminal(capsys):
    with show_progress(every_s=0) as on_progress:
        on_progress(STEPS[0])
    shown = capsys.readouterr()
    assert shown.err.startswith("Distilling: 1 of 600")
    assert shown.out == ""
