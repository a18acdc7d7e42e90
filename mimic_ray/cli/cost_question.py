"""Prints what a command will cost before it starts, and asks on a terminal if that is a lot."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import UsageError, option
from mimic_ray.cli import console

if TYPE_CHECKING:
    from mimic_ray.planning.run_cost import Cost, CostCallback

# What a quick search should take: the sentence says which machine would do it.
_QUICK_S = 3600.0


def can_ask() -> bool:
    """Whether a user can answer on this terminal."""
    return console.err.is_terminal and sys.stdin.isatty()


def cost_question(yes: bool, effort: Effort = "full") -> CostCallback:
    """The `on_cost` of a command. Raises UsageError if the user answers no."""

    def on_cost(cost: Cost) -> None:
        refused = cost.too_large and not yes and not can_ask()
        if not refused:  # the error says it as well
            console.note(cost.sentence())
        machine = cost.faster_machine(_QUICK_S) if effort == "quick" else ""
        if machine:
            console.note(machine)
        if (
            cost.too_large
            and not yes
            and can_ask()
            and not typer.confirm("Start all the same?", err=True)
        ):
            raise UsageError(f"Nothing was started. {option('yes', True)} starts without asking.")

    return on_cost
