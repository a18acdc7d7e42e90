"""Rows as a table: columns, missing values, and the library that is there."""

from __future__ import annotations

import pytest

from mimic_ray.base import frames
from mimic_ray.base.frames import arrow_table, column_names, to_frame

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "c": 0.5}]


def test_a_value_that_a_row_does_not_have_is_none():
    table = arrow_table(ROWS)
    assert table.column_names == ["a", "b", "c"]
    assert table.column("c").to_pylist() == [None, 0.5]


def test_given_columns_come_first_and_need_no_rows():
    assert column_names(ROWS, ["c"]) == ["c", "a", "b"]
    assert arrow_table([], ["a", "b"]).column_names == ["a", "b"]


def test_numbers_and_words_in_one_column_are_words():
    assert arrow_table([{"a": 1}, {"a": "many"}, {}]).column("a").to_pylist() == ["1", "many", None]


def test_a_frame_is_a_pyarrow_table_where_pandas_is_not_installed(monkeypatch):
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    assert to_frame(ROWS).column("a").to_pylist() == [1, 2]


def test_a_frame_is_one_of_pandas_where_it_is_installed():
    pandas = pytest.importorskip("pandas")
    assert isinstance(to_frame(ROWS), pandas.DataFrame)
