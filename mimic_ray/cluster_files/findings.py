"""What `validate` says of a file: one sentence each, with the place and the likely word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mimic_ray.base.registry import near_names
from mimic_ray.base.text import plain

Level = Literal["error", "warning", "note"]
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """Something at a place of a document. `near` are names that were probably meant."""

    place: Place
    what: str
    level: Level = "error"
    near: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return self.what + (f" Did you mean {' or '.join(self.near)}?" if self.near else "")


@dataclass(frozen=True)
class Finding:
    """A problem in a file, as it is printed and as `--json` gives it."""

    level: Level
    file: str
    line: int
    path: str
    what: str

    def __str__(self) -> str:
        place = f" {self.path}:" if self.path else ""
        return f"{self.file}:{self.line}: {self.level}:{place} {self.what}"


def dotted(place: Place) -> str:
    """`available_node_types.gpu.node_config`, `workerGroupSpecs[0].template`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif "." in part:
            text += f"[{plain(part, 80)}]"
        else:
            text += ("." if text else "") + plain(part, 80)
    return text


def unknown_key(place: Place, name: str, known: Iterable[str]) -> Problem:
    """A key of the mapping at `place` that it cannot have."""
    what = f'There is no key "{plain(name, 80)}" here.'
    return Problem((*place, name), what, "error", nearest(str(name), known))


def unknown(place: Place, kind: str, name: object, known: Iterable[str]) -> Problem:
    """A `kind` of thing that is named at `place` and does not exist."""
    what = f'There is no {kind} "{plain(name, 80)}".'
    return Problem(place, what, "error", nearest(str(name), known))


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The one name that was probably meant, if any."""
    return tuple(near_names(name, known, 1))
