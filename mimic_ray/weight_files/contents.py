"""What a weight file has besides weights and plain values, in words for the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mimic_ray.base.text import plain


@dataclass(frozen=True)
class Contents:
    """All texts are escaped.

    `commands`, `unknown` and `harmless` are what loading the file the ordinary way would call or
    import (foreign_names.py). `changed` are the kinds of objects that an export has as plain
    values or not at all (plain_tree.py), with their numbers; `not_dense` are tensors that it lacks.
    """

    commands: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    harmless: list[str] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    not_dense: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(reply: Mapping[str, Any]) -> Contents:
        """From the reply of the child process."""
        changed = {plain(key, 120): number for key, number in reply["changed"].items()}
        return replace(
            Contents.of_names(reply["foreign"]), changed=changed, not_dense=reply["not_dense"]
        )

    @staticmethod
    def together(parts: Sequence[Contents]) -> Contents:
        """Of a checkpoint of several files."""
        lists = {
            word: [*dict.fromkeys(text for part in parts for text in getattr(part, word))]
            for word in ("commands", "unknown", "harmless")
        }
        changed, not_dense = Counter[str](), Counter[str]()
        for part in parts:
            changed.update(part.changed)
            not_dense.update(part.not_dense)
        return Contents(**lists, changed=dict(changed), not_dense=dict(not_dense))

    @staticmethod
    def of_names(foreign: Mapping[str, list[str]]) -> Contents:
        """From ForeignNames.findings()."""
        return Contents(foreign["command"], foreign["unknown"], foreign["harmless"])

    def finding(self) -> str:
        """What the file would do, in one sentence; "" if nothing."""
        if self.commands:
            return f"Loading this file the ordinary way would call {listed(self.commands)}."
        if self.unknown:
            return f"Loading this file the ordinary way would import {listed(self.unknown)}."
        return ""

    def losses(self) -> list[str]:
        """Sentences on what an export of the file lacks."""
        found = []
        if self.changed:
            found.append(
                "The export has plain values instead of these objects, or leaves them out: "
                f"{listed([*self.changed])}."
            )
        if self.not_dense:
            kinds = listed([f"{number:,} {kind}" for kind, number in self.not_dense.items()])
            found.append(f"The export leaves out tensors that are not dense: {kinds}.")
        return found


def listed(words: Sequence[str], limit: int = 4) -> str:
    more = f" and {len(words) - limit:,} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more
