"""A scan in plain words: for the terminal, and for the page."""

from __future__ import annotations

from collections.abc import Iterator

from mimic_ray.report.fitted_table import NOT_MEASURED, FittedTable
from mimic_ray.scanning.scan_result import OpeningRow, ScanResult, Verdict

NO_PROOF = (
    "No scan proves that an encoder is free of backdoors: triggers that this search does not reach "
    "stay hidden."
)
_NEXT = {
    Verdict.SUSPECT: "Do not use the encoder as it is: purify it, or get it from another source.",
    Verdict.NO_EVIDENCE: NO_PROOF,
    Verdict.CANNOT_TELL: f"Purify the encoder if its source is not trusted. {NO_PROOF}",
}
HEADS = (
    "change of all images",
    "gathering",
    "landing",
    "one cluster",
    "score",
    "reference",
    "student",
)


def sentences(result: ScanResult) -> Iterator[str]:
    """The verdict, its reason, the score with its meaning, and what to do next."""
    yield f"Verdict: {result.verdict.value}."
    yield result.reason
    if result.score is not None:
        yield (
            f"Score {result.score:.2f} of 1. Suspect from {result.suspect_from:.2f}, no evidence "
            f"below {result.no_evidence_below:.2f}. {_separation(result)}"
        )
    yield _NEXT[result.verdict]


def _separation(result: ScanResult) -> str:
    facts, population = result.calibration.get("separation"), result.calibration["population"]
    if not facts:
        return ""
    return (
        f"On {population['attacked']} backdoored and {population['benign']} benign encoders, with "
        f"each kind of trigger left out in turn, {facts['attacked_suspect']:.0%} of the backdoored "
        f"and {facts['benign_suspect']:.0%} of the benign ones were suspect; AUROC "
        f"{facts['auroc']:.2f}."
    )


def cells(row: OpeningRow) -> tuple[str, ...]:
    """The texts of an opening under `HEADS`; a dash where nothing was measured."""
    reference, student = (
        NOT_MEASURED if n is None else f"{n:.2f}" for n in (row.reference, row.student)
    )
    return (
        row.change,
        f"{row.gathering:.2f}",
        f"{row.landing:.2f}",
        f"{row.sent:.0%}",
        f"{row.score:.2f}",
        reference,
        student,
    )


def openings_table(result: ScanResult) -> FittedTable:
    """The openings; columns without a value are left out."""
    rows = [cells(row) for row in result.openings]
    used = [n for n in range(len(HEADS)) if n < 5 or any(row[n] != NOT_MEASURED for row in rows)]
    return FittedTable(
        [HEADS[number] for number in used],
        ([row[number] for number in used] for row in rows),
        records=[row.flat() for row in result.openings],
    )
