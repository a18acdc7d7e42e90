"""Inputs and outputs as users name them: a path, a pattern, a data set on disk or an address."""

from __future__ import annotations

import re
from pathlib import Path

from mimic_ray.base.storage_address import is_remote, parse

_DATA_SET = re.compile(r"(torchvision:[^:]*:)(.+?)(:[A-Za-z0-9_-]+)?")
_PATTERN = re.compile(r"[*?\[{]")


def local_path(location: str | Path) -> str:
    """The local path in `location`; "" for an address on object storage.

    For `torchvision:NAME:ROOT:SPLIT` this is ROOT. A pattern is returned as it is.
    """
    text = str(location)
    if text.startswith("torchvision:"):
        data_set = _DATA_SET.fullmatch(text)
        return str(Path(data_set[2]).expanduser()) if data_set else ""
    return "" if is_remote(text) else parse(text).path


def absolute(location: str | Path) -> str:
    """`location` with an absolute path; an address is returned unchanged."""
    text = str(location)
    path = local_path(text)
    if not path:
        return text
    before, after = "", ""
    if data_set := _DATA_SET.fullmatch(text):
        before, after = data_set[1], data_set[3] or ""
    return f"{before}{Path(path).absolute()}{after}"


def is_missing(location: str | Path) -> bool:
    """Whether a local path does not exist. For a pattern, only its folder is checked.

    False for an address, which would need a request, and for a torchvision data set.
    """
    path = local_path(location)
    if not path or str(location).startswith("torchvision:") or Path(path).exists():
        return False
    if pattern := _PATTERN.search(path):
        return not Path(path[: pattern.start()] + "x").parent.exists()
    return True
