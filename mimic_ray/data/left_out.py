"""Files at a location that are not read as images: how many, why, and the first of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mimic_ray.base.text import count, plain

# The command line prints what is logged here as notes.
LOGGER = logging.getLogger("mimic_ray.images")


@dataclass(frozen=True)
class LeftOut:
    """The number of files that were left out for one reason, and the first of them."""

    count: int
    first: str


class Omissions(dict[str, LeftOut]):
    """Reason -> the files that were left out for it."""

    def add(self, reason: str, first: str, number: int = 1) -> None:
        if number:
            before = self.get(reason, LeftOut(0, first))
            self[reason] = LeftOut(before.count + number, before.first)

    def add_all(self, others: Mapping[str, LeftOut]) -> None:
        for reason, found in others.items():
            self.add(reason, found.first, found.count)


def sentences(left_out: Mapping[str, LeftOut]) -> list[str]:
    """`6 files (another image of a sample), such as 0001.seg.png`, for each reason."""
    return [
        f"{count(found.count, 'file')} ({reason})"
        + f"{', such as' if found.count > 1 else ':'} {plain(found.first, 120)}"
        for reason, found in left_out.items()
    ]


def announce(location: str, left_out: Mapping[str, LeftOut], notes: Iterable[str] = ()) -> None:
    """Logs the `notes` of a source on how it is read, and a line for each reason."""
    for note in notes:
        LOGGER.warning("%s", note)
    for sentence in sentences(left_out):
        LOGGER.warning("Left out of %s: %s.", plain(location), sentence)
