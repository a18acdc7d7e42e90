"""Names of interchangeable parts, resolved on use.

A registry is a literal table from name to "module:attribute" strings, so that listing names (for
`--help` and for near names in errors) imports neither torch nor the parts themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from mimic_ray.base.errors import UnknownNameError


class Registry:
    """Read-only table of the members of one kind (`kind` is the word used in errors)."""

    def __init__(self, kind: str, members: Mapping[str, str]) -> None:
        self.kind = kind
        self._members = dict(members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def resolve(self, name: str) -> Any:
        """The member itself. Raises UnknownNameError with near names."""
        if name not in self._members:
            raise UnknownNameError(self.kind, name, near_names(name, self._members))
        module, _, attribute = self._members[name].partition(":")
        return getattr(import_module(module), attribute)


def near_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that `name` was probably meant to be, nearest first."""
    # Imported on the failing path only: difflib costs 5 ms at start-up.
    from difflib import get_close_matches

    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[hit] for hit in get_close_matches(name.lower(), by_lower, count, 0.6)]
