"""The typed result of a comparison."""

from __future__ import annotations

import json

import pytest

from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import Proportion
from tests.support.frame_columns import columns_of

HALF = Proportion(50, 100, 0.4, 0.6)
ROW = ComparisonRow(
    "nad",
    strength="beta=500",
    value=500.0,
    reached=True,
    seeds=2,
    cosine=0.9,
    cosines=(0.89, 0.91),
    overlap=0.5,
    acc=HALF,
    images_seen=1000.0,
    seconds=95.0,
    clock="CPU",
    notes=("One.", "Two."),
)
POINT = ComparisonRow("nad", strength="beta=50", value=50.0, chosen=False)
FOUND = Comparison((ComparisonRow("suspect"), POINT, ROW), {"seeds": "0 to 1"}, "compared")


def test_json_is_read_as_it_was_written():
    assert Comparison.from_json(json.loads(json.dumps(FOUND.to_json()))) == FOUND


def test_a_row_is_found_by_its_defence_and_points_of_curves_are_not_in_the_table():
    assert FOUND.row("nad") is ROW
    assert [row.defence for row in FOUND.chosen()] == ["suspect", "nad"]
    with pytest.raises(KeyError):
        FOUND.row("clp")


def test_a_flat_row_has_one_value_for_each_column():
    flat = ROW.flat()
    assert (flat["acc"], flat["acc_low"], flat["acc_high"]) == (0.5, 0.4, 0.6)
    assert (flat["asr"], flat["asr_low"]) == (None, None)
    assert (flat["cosine_min"], flat["cosine_max"]) == (0.89, 0.91)
    assert flat["notes"] == "One. Two."
    assert flat.keys() == FOUND.rows[0].flat().keys()


def test_a_frame_has_a_line_for_each_row_and_strength():
    frame = columns_of(FOUND.to_frame())
    assert frame["defence"] == ["suspect", "nad", "nad"]
    assert frame["acc"][2] == 0.5


def test_cost_says_what_was_counted():
    assert ROW.cost() == "1.6 min CPU"
    assert POINT.cost() == ""
