"""Looking into a document of which nothing is known: what is not there is None or empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def get(node: Any, *names: str) -> Any:
    """What stands under the names, one in the other."""
    for name in names:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def items(node: Any, *names: str) -> list[Any]:
    """The list under the names."""
    found = get(node, *names)
    return found if isinstance(found, list) else []


def mapping(node: Any, *names: str) -> Mapping[Any, Any]:
    """The mapping under the names."""
    found = get(node, *names)
    return found if isinstance(found, Mapping) else {}
