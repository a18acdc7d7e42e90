"""Patterns of local files: wildcards, `**` for folders at any depth, and braces."""

from __future__ import annotations

import glob
import re
from itertools import product
from pathlib import Path

from mimic_ray.base.errors import DataError, MissingDataError

_PATTERN = re.compile(r"[*?\[{]")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_pattern(text: str) -> bool:
    return bool(_PATTERN.search(text))


def existing(location: str | Path) -> Path:
    path = Path(location).expanduser()
    if "://" in str(location):
        raise DataError(f"{location}: give a single address; it may be a pattern.")
    if not path.exists():
        raise MissingDataError(
            f"{path} does not exist: give a folder of images, shards or a pattern."
        )
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path} is neither a file nor a folder.")
    return path


def matching(pattern: str) -> list[Path]:
    """The files that match a pattern with braces and wildcards."""
    found: list[Path] = []
    for name in expand_braces(str(Path(pattern).expanduser())):
        # A name from braces must exist; a wildcard matches what is there.
        if glob.has_magic(name):
            found += sorted(map(Path, glob.glob(name, recursive=True)))  # noqa: PTH207
        else:
            found.append(existing(name))
    if not found:
        raise MissingDataError(f"Nothing matches {pattern}.")
    return found


def expand_braces(pattern: str) -> list[str]:
    """`a-{08..10}.tar` -> a-08.tar, a-09.tar, a-10.tar; `{a,b}.tar` -> a.tar, b.tar."""
    literal = _BRACES.split(pattern)[::2]
    choices = [_choices(inside) for inside in _BRACES.findall(pattern)]
    names = []
    for picked in product(*choices):
        names.append(
            "".join(part + word for part, word in zip(literal, (*picked, ""), strict=True))
        )
    return names


def _choices(inside: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if not numbers:
        return inside.split(",")
    first, last = numbers.groups()
    if int(last) - int(first) > 1_000_000:
        raise DataError(f"{{{inside}}} expands to more than a million files.")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
