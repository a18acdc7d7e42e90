"""Reads values of a document with unknown content: a missing value is None or empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get(node: Any, *names: str) -> Any:
    """The value under nested keys."""
    for name in names:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def items(node: Any, *names: str) -> list[Any]:
    """The list under nested keys."""
    found = get(node, *names)
    return found if isinstance(found, list) else []


def mapping(node: Any, *names: str) -> Mapping[Any, Any]:
    """The mapping under nested keys."""
    found = get(node, *names)
    return found if isinstance(found, Mapping) else {}
