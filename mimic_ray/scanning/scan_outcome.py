"""The result of a scan from its findings: the verdict, and the openings that it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimic_ray.base.effort import Effort
from mimic_ray.encoders.encoder_name import without_statistics
from mimic_ray.scanning.calibration import calibration, judge, opening_scores
from mimic_ray.scanning.openings import Opening
from mimic_ray.scanning.scan_result import OpeningRow, ScanResult
from mimic_ray.scanning.scanner import Findings

_SHOWN = 6  # openings in the result


def scan_outcome(
    architecture: str,
    findings: Findings,
    effort: Effort,
    keys: Sequence[str],
    settings: Mapping[str, Any],
    folder: str = "",
) -> tuple[ScanResult, list[Opening]]:
    """The judged result, and the openings of its rows. `keys`: names of the images of the bank."""
    limits = calibration(effort)
    judged = judge(without_statistics(architecture), findings, limits)
    scores = opening_scores(findings)
    order = sorted(range(len(scores)), key=lambda number: -scores[number])[:_SHOWN]
    scale = judged.scale
    result = ScanResult(
        judged.verdict,
        judged.reason,
        judged.score,
        scale.suspect_from if scale else None,
        scale.no_evidence_below if scale else None,
        tuple(_row(findings, number, scores[number], keys) for number in order),
        calibration={
            "population": dict(limits.population),
            **({"separation": dict(scale.facts)} if scale else {}),
        },
        settings=settings,
        seconds=findings.seconds,
        folder=folder,
    )
    return result, [findings.openings[number] for number in order]


def _row(findings: Findings, number: int, score: float, keys: Sequence[str]) -> OpeningRow:
    opening = findings.openings[number]
    return OpeningRow(
        family=opening.change.family,
        change=opening.change.words,
        gathering=opening.gathering,
        landing=opening.landing,
        sent=opening.sent,
        score=score,
        reference=findings.reference[number] if findings.reference else None,
        student=findings.student[number] if findings.student else None,
        nearest=tuple(keys[row] for row in opening.nearest),
    )
