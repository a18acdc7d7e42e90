"""Text for the terminal: escapes untrusted keys and file names, formats counts and durations."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def plain(text: object, limit: int = 200) -> str:
    """`text` with control characters escaped, cut to `limit` characters."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def count(number: int, singular: str, plural: str | None = None) -> str:
    """`1 image`, `2,000 images`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def seed_range(number: int) -> str:
    """The seeds 0, 1 ... of so many runs: `0`, `0 to 2`."""
    return "0" if number == 1 else f"0 to {number - 1}"


def command_line(command: str, **options: object) -> str:
    """`mimic-ray purify --data 'my images'`, quoted for a shell."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return shlex.join(["mimic-ray", command, *words])


def duration(seconds: float) -> str:
    """`32 s`, `5.2 min`, `1.7 h`, `3.4 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 1.5 * size:
            number = seconds / size
            return f"{number:,.0f} {unit}" if number >= 1000 else f"{round(number, 1):g} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def amount(number: float) -> str:
    """`0.00313`, `12.3`, `142,022`: three significant digits, or whole from 100 on."""
    return f"{number:,.0f}" if abs(number) >= 99.95 else f"{number:.3g}"


def near_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most similar to `name`, nearest first."""
    # Imported only for an error, because it takes 5 ms.
    from difflib import get_close_matches

    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[hit] for hit in get_close_matches(name.lower(), by_lower, count, 0.6)]
