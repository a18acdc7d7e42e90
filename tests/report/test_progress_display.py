"""The display of progress on a terminal and elsewhere."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from mimic_ray.base.progress import Progress
from mimic_ray.report.progress_display import progress_bars, progress_lines, show_progress

STEPS = [Progress("distil", step, 600, {"loss": 0.25}, 1234.5) for step in (1, 2, 3)]
NEVER = float("inf")


def lines(every_s: float, *steps: Progress) -> list[str]:
    console = Console(file=StringIO(), width=200, record=True)
    on_progress = progress_lines(console, every_s)
    for progress in steps:
        on_progress(progress)
    return console.export_text().splitlines()


def test_without_an_interval_steps_print_nothing():
    assert lines(NEVER, *STEPS) == []


def test_each_phase_is_printed_at_once_and_its_steps_at_the_interval():
    decode = Progress("decode", 10, 2000)
    assert lines(1000, decode, decode, *STEPS) == [
        "Decoding images: 10 of 2,000",
        "Distilling: 1 of 600, loss 0.2500, 1,234 images/s",
    ]
    assert len(lines(0, *STEPS)) == 3


def test_a_stop_and_the_continuation_of_steps_are_each_printed_once():
    silent, going = Progress("silent", 60, 600), Progress("silent", 0, 600)
    assert lines(NEVER, silent, silent, going, *STEPS) == [
        "No step for 60 s: a node or the network may not respond.",
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
