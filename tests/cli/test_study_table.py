"""The progress of a search, on a terminal and elsewhere."""

from __future__ import annotations

import time
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from mimic_ray.cli import console
from mimic_ray.cli.study_table import StudyLines, _LiveTable, shown_study, study_table
from mimic_ray.search.search_progress import SearchProgress
from mimic_ray.search.trial import RunningTrial, Trial


def trial(number, **fields):
    made = Trial(f"{number:012x}", number, "finished", {"training.learning_rate": 0.004})
    scores = {"fidelity": 0.8, "suspicion": fields.pop("suspicion", 0.4)}
    return replace(made, step=600, seconds=40, scores=scores, **fields)


def printed(ended, running=None, planned=16, max_ended=10, left=None, width=120):
    screen = Console(width=width, record=True, file=StringIO())
    screen.print(study_table(ended, running or {}, planned, max_ended, left, width))
    return screen.export_text()


def test_ended_and_running_trials_have_a_line_each():
    at_work = RunningTrial("a", 2, {}, 150, 600, time.time() - 9)
    shown = printed([trial(0, base=True), trial(1, status="stopped")], {"a": at_work}, left=300)
    assert "finished (base)" in shown
    assert "stopped early" in shown
    assert "150/600" in shown
    assert "2 of 16 trials, about 5 min left" in shown


def test_the_best_and_the_newest_of_many_trials_are_shown():
    many = [trial(number, suspicion=0.5) for number in range(40)]
    many[3] = trial(3, suspicion=0.1)
    lines = [line.split()[0] for line in printed(many, planned=50, max_ended=6).splitlines()[1:-1]]
    assert "3" in lines
    assert "39" in lines
    assert len(lines) == 6
    assert "34 not shown" in printed(many, planned=50, max_ended=6)


def test_without_a_terminal_each_ended_trial_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(console, "err", type(console.err)(stderr=True, width=200))
    with shown_study() as watch:
        watch(SearchProgress(2, []))
        watch(SearchProgress(2, [trial(0)]))
        watch(SearchProgress(2, [trial(0), trial(1, status="failed", error="no [bold]luck")]))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "trial 0 finished at step 600: fidelity 0.800, suspicion 0.400 (1 of 2)",
        "trial 1 failed at step 600: fidelity 0.800, suspicion 0.400 (2 of 2): no [bold]luck",
    ]


def test_without_a_terminal_the_state_is_printed_at_the_start_and_at_the_interval(
    monkeypatch, capsys
):
    monkeypatch.setattr(console, "err", type(console.err)(stderr=True, width=200))
    seconds = iter([0, 10, 29, 31, 60, 61])
    watch = StudyLines(30, lambda: next(seconds)).update
    watch(SearchProgress(4, []))
    for step in (1, 100, 150, 590, 595):
        watch(SearchProgress(4, [], running={"a": RunningTrial("a", 2, {}, step, 600, 0.0)}))
    assert capsys.readouterr().err.splitlines() == [
        "Trials: 0 of 4 ended",
        "Trials: 0 of 4 ended, 1 running (2: step 150 of 600)",
        "Trials: 0 of 4 ended, 1 running (2: step 595 of 600)",
    ]


MANY_SETTINGS = {
    "training.learning_rate": 0.00412,
    "perturbations.my_perturbations.py:a_rather_long_name_of_a_perturbation.probability": 0.25,
    "student.start": "partial",
    "mutual_information.threshold": 0.125,
}


@pytest.mark.parametrize("width", [45, 60, 80, 120])
def test_no_setting_and_no_number_is_cut_at_any_width(width):
    at_work = RunningTrial("a", 11, MANY_SETTINGS, 150, 600, time.time())
    ended = [replace(trial(10, base=True), settings=MANY_SETTINGS), trial(9, status="stopped")]
    shown = printed(ended, {"a": at_work}, width=width)
    together = "".join(shown.split())
    name = "my_perturbations.py:a_rather_long_name_of_a_perturbation"
    assert together.count(name) == 2
    for words in ("finished(base)", "stoppedearly", "150/600", "0.800", "0.400", "MIthreshold"):
        assert words in together, words
    assert "\u2026" not in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("width", [45, 120])
def test_a_live_table_is_not_higher_than_the_screen_and_shows_the_newest(monkeypatch, width):
    screen = Console(width=width, height=14, file=StringIO(), force_terminal=True)
    monkeypatch.setattr(console, "err", screen)
    many = [replace(trial(number), settings=MANY_SETTINGS) for number in range(30)]
    made = _LiveTable()._table(SearchProgress(40, many))
    lines = screen.render_lines(made, pad=False)
    assert 3 < len(lines) <= 13
    shown = "\n".join("".join(part.text for part in line) for line in lines)
    assert "29" in shown
    assert "not shown" in shown
