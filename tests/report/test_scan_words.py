"""A scan in words: the verdict first, what the score means, and never a claim of safety."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mimic_ray.report.scan_words import NO_PROOF, openings_table, sentences
from mimic_ray.scanning.scan_result import Verdict
from tests.report.scan_example import result


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_verdict_is_first_and_nothing_is_called_clean(verdict):
    said = list(sentences(result(verdict)))
    assert said[0] == f"Verdict: {verdict.value}."
    text = " ".join(said).lower()
    assert "clean" not in text
    assert " safe" not in text
    assert (NO_PROOF.lower() in text) == (verdict is not Verdict.SUSPECT)


def test_the_score_comes_with_its_limits_and_how_well_they_separate():
    text = " ".join(sentences(result()))
    assert "Score 0.88 of 1" in text
    assert "Suspect from 0.75, no evidence below 0.70" in text
    assert "On 30 backdoored and 40 benign encoders" in text
    assert "70% of the backdoored and 5% of the benign ones were suspect; AUROC 0.93" in text


def test_without_a_score_no_limits_are_printed():
    text = " ".join(sentences(result(Verdict.CANNOT_TELL, score=None)))
    assert "Score" not in text


def test_the_table_shows_measured_columns_only():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(openings_table(result()))
    shown = console.export_text()
    assert "student" in shown
    assert "reference" not in shown
    assert "0.97" in shown
    assert "100%" in shown


LONG = "a free patch of 12 x 12 pixels at row 20, column 3, with_a_name_that_is_one_long_word"


@pytest.mark.parametrize("width", [45, 60, 80])
def test_no_change_and_no_number_is_cut_at_any_width(width):
    found = result()
    rows = (replace(found.openings[0], change=LONG, reference=0.21), found.openings[1])
    file = io.StringIO()
    Console(file=file, width=width).print(openings_table(replace(found, openings=rows)))
    shown = file.getvalue()
    together = "".join(shown.split())
    assert LONG.replace(" ", "") in together
    for words in ("gathering", "0.97", "0.91", "100%", "0.21", "0.12", "awave"):
        assert words in together, words
    assert "\u2026" not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_records_have_every_field_of_an_opening():
    [first, _] = openings_table(result()).records
    assert (first["family"], first["gathering"], first["reference"]) == ("patch", 0.97, None)
