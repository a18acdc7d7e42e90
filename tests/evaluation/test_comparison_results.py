"""The typed result of a comparison."""

from __future__ import annotations

import json

import pytest

from mimic_ray.evaluation import comparison_results
from mimic_ray.evaluation.comparison_results import Comparison, ComparisonRow
from mimic_ray.evaluation.results import Proportion

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


def test_a_frame_is_a_pyarrow_table_where_pandas_is_not_installed(monkeypatch):
    monkeypatch.setattr(comparison_results, "find_spec", lambda name: None)
    table = FOUND.to_frame()
    assert table.num_rows == 3
    assert table.column("acc").to_pylist() == [None, None, 0.5]
    assert table.column("defence").to_pylist() == ["suspect", "nad", "nad"]


def test_a_frame_is_one_of_pandas_where_it_is_installed():
    pandas = pytest.importorskip("pandas")
    frame = FOUND.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.set_index("strength").loc["beta=500", "acc"] == 0.5


def test_cost_says_what_was_counted():
    assert ROW.cost() == "1.6 min CPU"
    assert POINT.cost() == ""
