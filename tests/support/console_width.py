"""The width of what commands print; rich reads COLUMNS only when a console is made."""

from __future__ import annotations

import pytest

from mimic_ray.cli import console

PIPE = 80  # what rich takes for a pipe


def set_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Commands print in so many columns."""
    made = type(console.out)(width=width)
    monkeypatch.setattr(console, "out", made)
