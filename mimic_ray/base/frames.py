"""Rows of plain values as a table: of pandas where it is installed, otherwise of pyarrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

FlatRows = Sequence[Mapping[str, Any]]


def to_frame(rows: FlatRows, columns: Sequence[str] = ()) -> Any:
    """A pandas DataFrame, or a pyarrow Table if pandas is not installed; see `arrow_table`."""
    table = arrow_table(rows, columns)
    return table.to_pandas() if find_spec("pandas") else table


def arrow_table(rows: FlatRows, columns: Sequence[str] = ()) -> Any:
    """One column for each name of `columns`, then for each other key; None where a row has none.

    A column that mixes numbers and words becomes one of words, since it can have one type only.
    """
    import pyarrow as pa

    names = column_names(rows, columns)
    made = {name: pa.array(_of_one_type([row.get(name) for row in rows])) for name in names}
    return pa.table(made)


def column_names(rows: FlatRows, columns: Sequence[str] = ()) -> list[str]:
    """`columns`, then the other keys of the rows in the order of their first row."""
    return [*dict.fromkeys([*columns, *(name for row in rows for name in row)])]


def _of_one_type(column: list[Any]) -> list[Any]:
    if any(isinstance(value, str) for value in column):
        return [None if value is None else str(value) for value in column]
    return column
