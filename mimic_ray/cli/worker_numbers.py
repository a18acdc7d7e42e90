"""Numbers of workers on the command line: a range such as `1-3`, a list such as `1,2,4`."""

from __future__ import annotations

import re

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain


def parse_worker_range(text: str) -> tuple[int, int]:
    """`4` or `1-3` as minimum and maximum. Raises UsageError for anything else."""
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    fewest = int(found[1]) if found else 0
    most = int(found[2]) if found and found[2] else fewest
    if most < fewest and found:
        raise UsageError(
            f"Invalid {option('workers', text.strip())}: give the smaller number first, "
            f"{most}-{fewest}."
        )
    if not 1 <= fewest <= most:
        value = option("workers", f'"{plain(text)}"')
        raise UsageError(f"Invalid {value}: expected a positive integer or a range such as 1-3.")
    return fewest, most


def parse_worker_counts(text: str) -> list[int]:
    """`1,2,4` as a sorted list. Raises UsageError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        value = option("workers", f'"{plain(text)}"')
        raise UsageError(f"Invalid {value}: expected numbers of workers such as 1,2,4.")
    return sorted({int(part) for part in parts})
