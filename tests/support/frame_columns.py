"""Reads a frame of either library in the same way."""

from __future__ import annotations

from typing import Any


def columns_of(frame: Any) -> dict[str, list[Any]]:
    """Name -> values, for a pandas DataFrame and for a pyarrow Table."""
    if hasattr(frame, "to_pydict"):
        return frame.to_pydict()
    return {name: frame[name].tolist() for name in frame.columns}
