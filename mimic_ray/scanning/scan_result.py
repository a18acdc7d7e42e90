"""The result of a scan as plain data, for the terminal, JSON and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from mimic_ray.base.frames import to_frame


class Verdict(StrEnum):
    """What a scan says. None of them calls an encoder clean."""

    SUSPECT = "suspect"
    NO_EVIDENCE = "no evidence"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class OpeningRow:
    """A change of all images, and what encoders make of it. Shares and cosines up to 1.

    Attributes:
        family: `wave`, `patch`, `free patch` or `pixels`.
        change: The change in words.
        gathering: Mean cosine between the centred features of changed held-out images.
        landing: Largest cosine of their mean with the centred feature of a real image.
        sent: Share of held-out images that land in one cluster of real images.
        score: gathering x landing, less the reference's gathering if there is a reference.
        reference: Gathering of the reference under the same change; None without a reference.
        student: The same of the purified student.
        nearest: Keys of the real images nearest to where changed images land.
    """

    family: str
    change: str
    gathering: float
    landing: float
    sent: float
    score: float
    reference: float | None = None
    student: float | None = None
    nearest: tuple[str, ...] = ()

    def flat(self) -> dict[str, Any]:
        """One value for each field, the nearest images as one text."""
        return {**asdict(self), "nearest": " ".join(self.nearest)}


@dataclass(frozen=True)
class ScanResult:
    """What a scan found, and how much it means.

    Attributes:
        verdict: `suspect`, `no evidence` or `cannot tell`.
        reason: The verdict in a sentence.
        score: The number that the verdict rests on; None if there is none.
        suspect_from: Scores from here on are suspect.
        no_evidence_below: Scores below give `no evidence`; between the two, the scan cannot tell.
        openings: The changes that the encoder answers to most, the strongest first.
        calibration: On which encoders the limits were set, and how well they separated them.
        settings: Encoder, files, images, seed and effort.
        seconds: CPU seconds of the scan.
        folder: Where the page, the picture and the JSON file are; empty without `out`.
    """

    verdict: Verdict
    reason: str
    score: float | None
    suspect_from: float | None
    no_evidence_below: float | None
    openings: tuple[OpeningRow, ...]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    folder: str = ""

    def to_frame(self) -> Any:
        """The openings as a pandas DataFrame, or a pyarrow Table if pandas is not installed."""
        columns = [each.name for each in fields(OpeningRow)]
        return to_frame([row.flat() for row in self.openings], columns)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}
