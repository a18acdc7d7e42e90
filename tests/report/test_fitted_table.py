"""A table as wide as its text, or paragraphs: nothing is cut."""

from io import StringIO

import pytest
from rich.console import Console

from mimic_ray.report.fitted_table import FittedTable

TABLE = FittedTable(
    ["Encoder", "ACC", "ASR"],
    [["without-the-family", "82.3 % (81.5-83.0)", "-"], ["[red]x", "1.0 % (0.5-2.0)", "5.0 %"]],
    ["A note."],
)


def printed(width: int) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(TABLE)
    return console.file.getvalue()


def test_a_wide_terminal_gets_one_line_for_each_encoder():
    lines = [" ".join(line.split()) for line in printed(80).splitlines()]
    assert "without-the-family 82.3 % (81.5-83.0) -" in lines
    assert "A note." in lines


def test_a_narrow_terminal_gets_a_paragraph_without_what_was_not_measured():
    lines = [" ".join(line.split()) for line in printed(40).splitlines()]
    assert lines[:2] == ["without-the-family", "ACC 82.3 % (81.5-83.0)"]
    assert lines[2:5] == ["[red]x", "ACC 1.0 % (0.5-2.0)", "ASR 5.0 %"]


@pytest.mark.parametrize("width", [10, 40, 60, 200])
def test_no_name_is_cut(width):
    assert "without-the-family" in "".join(printed(width).split())
    assert "\u2026" not in printed(width)


@pytest.mark.parametrize("width", [70, 200])
def test_a_long_last_column_takes_several_lines_if_it_has_the_space(width):
    words = "what an encoder is read from, in many words " * 3
    table = FittedTable(["name", "read from"], [["a", words]], left=(0, 1), folds_last=True)
    console = Console(file=StringIO(), width=width)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    assert " ".join(lines[1].split()) == "name read from"  # a table, not a paragraph
    assert words.replace(" ", "") in "".join(console.file.getvalue().split())
    assert max(map(len, lines)) <= width
