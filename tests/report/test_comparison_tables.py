"""A comparison as a table: no name and no number is cut, and no text from outside is markup."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import Proportion
from mimic_ray.report.comparison_tables import (
    comparison_markdown,
    comparison_table,
    notes,
)

ACC = Proportion(800, 1000, 0.774, 0.824)
ASR = Proportion(90, 900, 0.08, 0.123)
LONG = "my_own_defences/with_a_long_name.py:a_defence_with_a_name_that_is_long"
NAD = ComparisonRow(
    "nad",
    strength="beta=500",
    value=500.0,
    reached=False,
    cosine=0.91234,
    acc=ACC,
    asr=ASR,
    acc_distilled=ACC,
    asr_distilled=ASR,
    acc_tuned=ACC,
    asr_tuned=ASR,
    images_seen=38400,
    seconds=95.0,
    clock="CPU",
    notes=("no strength reaches the cosine of default; this is the weakest.",),
)
FAILED = ComparisonRow(LONG, failure="failed: ValueError: no idea")
ROWS = (ComparisonRow("suspect", acc=ACC, asr=replace(ASR, successes=890)), NAD, FAILED)
FOUND = Comparison(ROWS, {"seeds": "0 to 2"})


def printed(rows, width):
    console = Console(file=StringIO(), width=width)
    console.print(comparison_table(rows))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 60, 80, 250])
def test_no_name_and_no_number_is_cut_at_any_width(width):
    text = printed(ROWS, width)
    joined = "".join(text.split())
    for words in (LONG, "beta=500", "0.9123*", "80.0(77.4-82.4)", "10.0(8.0-12.3)", "38,400"):
        assert words.replace(" ", "") in joined, words
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_wide_terminal_gets_one_table_and_a_narrow_one_paragraphs():
    assert printed(ROWS, 250).count("ACC, %") == 1
    assert printed(ROWS, 60).count("ACC, %") == 2  # of the two rows that have it


def test_columns_without_a_value_are_left_out():
    blind = [ComparisonRow("nad", cosine=0.9, images_seen=100)]
    text = printed(blind, 100)
    assert "ACC" not in text
    assert "Cosine" in text


def test_notes_and_failures_are_sentences_below_the_table():
    found = notes(ROWS)
    assert f"{LONG}: failed: ValueError: no idea" in found
    assert "nad beta=500: no strength reaches the cosine of default; this is the weakest." in found
    assert any(line.startswith("* ") for line in found)


def test_a_defence_without_an_encoder_is_marked_in_its_line():
    (line,) = comparison_table([FAILED]).lines
    assert line[1:3] == ["failed", "-"]
    (line,) = comparison_table([replace(NAD, failure="ASR of 1 of 2 seeds not measured.")]).lines
    assert line[1] == "beta=500"


def test_records_have_every_point_of_a_curve_as_plain_numbers():
    point = replace(NAD, strength="beta=50", chosen=False)
    table = comparison_table(ROWS, (*ROWS, point))
    assert len(table.lines) == 3
    assert [row["strength"] for row in table.records] == ["", "beta=500", "", "beta=50"]
    assert (table.records[1]["acc"], table.records[1]["acc_low"]) == (0.8, 0.774)


def test_markdown_shows_the_cells_of_the_terminal():
    text = comparison_markdown(FOUND)
    assert "| nad | beta=500 | 0.9123 \\* | 80.0 (77.4-82.4) |" in text
    assert "- seeds: 0 to 2" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
