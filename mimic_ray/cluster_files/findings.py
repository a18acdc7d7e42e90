"""The findings of `validate`: one sentence each, with its path in the file and a suggestion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mimic_ray.base.text import near_names, plain

Level = Literal["error", "warning", "note"]
YamlPath = tuple[str | int, ...]  # keys and list indices from the top of a document


@dataclass(frozen=True)
class Problem:
    """A problem at a path of a document. `near` are names that were probably meant."""

    path: YamlPath
    message: str
    level: Level = "error"
    near: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return self.message + (f" Did you mean {' or '.join(self.near)}?" if self.near else "")


@dataclass(frozen=True)
class Finding:
    """A problem in a file, as `validate` prints it and as `--json` reports it."""

    level: Level
    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        path = f" {self.path}:" if self.path else ""
        return f"{self.file}:{self.line}: {self.level}:{path} {self.message}"


def dotted(path: YamlPath) -> str:
    """`available_node_types.gpu.node_config`, `workerGroupSpecs[0].template`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif "." in part:
            text += f"[{plain(part, 80)}]"
        else:
            text += ("." if text else "") + plain(part, 80)
    return text


def unknown_key(path: YamlPath, name: object, known: Iterable[str]) -> Problem:
    """The mapping at `path` has a key that does not exist."""
    message = f'Unknown key "{plain(name, 80)}".'
    return Problem((*path, str(name)), message, "error", nearest(str(name), known))


def unknown_name(path: YamlPath, kind: str, name: object, known: Iterable[str]) -> Problem:
    """The value at `path` is not the name of an existing `kind`."""
    message = f'There is no {kind} "{plain(name, 80)}".'
    return Problem(path, message, "error", nearest(str(name), known))


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The one name that was probably meant, if any."""
    return tuple(near_names(name, known, 1))
