"""The question before a long run."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.cli import console, cost_question
from mimic_ray.planning.run_cost import Cost, CostPart


def cost(hours: float) -> Cost:
    return Cost((CostPart("training", 1000, 3600 * hours),), 10**9, 10**10, 2, 1.0)


@pytest.fixture
def asked(monkeypatch):
    """The questions that were asked; `answers` is what the user says."""

    class Questions(list):
        answer = True

    found = Questions()

    def confirm(text, **_options):
        found.append(text)
        return found.answer

    monkeypatch.setattr(cost_question, "can_ask", lambda: True)
    monkeypatch.setattr(cost_question.typer, "confirm", confirm)
    return found


def test_only_a_long_run_is_asked_about(asked, capsys):
    cost_question.cost_question(False)(cost(1))
    assert asked == []
    assert "about 60 min" in capsys.readouterr().err
    cost_question.cost_question(True)(cost(100))
    assert asked == []
    cost_question.cost_question(False)(cost(100))
    assert asked == ["Start all the same?"]


def test_no_ends_the_command_before_it_started(asked):
    asked.answer = False
    with pytest.raises(UsageError, match="Nothing was started"):
        cost_question.cost_question(False)(cost(100))


def test_without_a_terminal_nothing_is_asked_and_the_refusal_is_not_printed_twice(
    asked, monkeypatch, capsys
):
    monkeypatch.setattr(cost_question, "can_ask", lambda: False)
    cost_question.cost_question(False)(cost(100))
    assert asked == []
    assert capsys.readouterr().err == ""
    cost_question.cost_question(True)(cost(100))
    assert "Cost here" in capsys.readouterr().err


def test_quick_says_which_machine_takes_an_hour(capsys):
    cost_question.cost_question(False, "quick")(cost(5))
    assert "within 60 min it needs 10 such CPU cores" in capsys.readouterr().err
    cost_question.cost_question(False, "full")(cost(5))
    assert "such CPU cores" not in capsys.readouterr().err


def test_a_quiet_command_prints_no_cost(monkeypatch, capsys):
    monkeypatch.setattr(console.mode, "quiet", True)
    cost_question.cost_question(False)(cost(1))
    assert capsys.readouterr().err == ""
