"""Inputs and outputs as a user names them: a path, a pattern, a data set on disk or an address."""

from __future__ import annotations

import re
from pathlib import Path

from mimic_ray.base.storage_address import is_remote, parse

_DATA_SET = re.compile(r"(torchvision:[^:]*:)(.+?)(:[A-Za-z]+)?")
_PATTERN = re.compile(r"[*?\[{]")


def local_path(location: str | Path) -> str:
    """The part of `location` that is a path on this machine; "" for an address of object storage.

    For `torchvision:NAME:ROOT:SPLIT` that is ROOT; a pattern stays a pattern.
    """
    text = str(location)
    if text.startswith("torchvision:"):
        data_set = _DATA_SET.fullmatch(text)
        return str(Path(data_set[2]).expanduser()) if data_set else ""
    return "" if is_remote(text) else parse(text).path


def absolute(location: str | Path) -> str:
    """`location` so that it means the same in any working folder; an address stays as it is."""
    text = str(location)
    path = local_path(text)
    if not path:
        return text
    before, after = "", ""
    if data_set := _DATA_SET.fullmatch(text):
        before, after = data_set[1], data_set[3] or ""
    return f"{before}{Path(path).absolute()}{after}"


def is_missing(location: str | Path) -> bool:
    """Whether nothing lies at a local path. Of a pattern, only its folder is checked.

    False for an address, which takes a request to check, and for a data set of torchvision.
    """
    path = local_path(location)
    if not path or str(location).startswith("torchvision:") or Path(path).exists():
        return False
    if pattern := _PATTERN.search(path):
        return not Path(path[: pattern.start()] + "x").parent.exists()
    return True
