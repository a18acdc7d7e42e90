"""What a score means: the limits of a scan, set on encoders where the truth is known.

The score of an opening is its strength, or with a reference its strength less the reference's
gathering; the score of an encoder is that of its strongest opening. calibration.json holds, for
each effort, the limits of both: `alone` and `reference`. benchmarks/scan_calibration.py writes it.

Without a reference, the limits hold for the architectures of the population only: how much an
ordinary encoder answers to a change depends on its architecture. With one, another architecture
can be suspect, but a low score means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from mimic_ray.base.effort import Effort
from mimic_ray.scanning.scan_result import Verdict
from mimic_ray.scanning.scanner import Findings

# How far outside of the population's range the mean cosine between features may lie.
_MARGIN = 0.1


@dataclass(frozen=True)
class Scale:
    """Two limits of a score, and how well they separated the population: AUROC, TPR and FPR."""

    suspect_from: float
    no_evidence_below: float
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Calibration:
    """The population, and the scales that it gave for one effort."""

    architectures: tuple[str, ...]
    alike: tuple[float, float]  # range of the mean cosine between features of clean images
    population: Mapping[str, Any]
    effort: str
    alone: Scale | None = None  # None: no limits were set for this effort
    reference: Scale | None = None

    def covers(self, architecture: str, findings: Findings) -> bool:
        """Whether the limits without a reference hold for this encoder."""
        low, high = self.alike
        return (
            architecture in self.architectures and low - _MARGIN <= findings.alike <= high + _MARGIN
        )


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason, and the score and scale behind it, if there are any."""

    verdict: Verdict
    reason: str
    score: float | None = None
    scale: Scale | None = None


def judge(architecture: str, findings: Findings, calibration: Calibration) -> Judgement:
    """The verdict on an encoder."""
    if calibration.alone is None or calibration.reference is None:
        return Judgement(
            Verdict.CANNOT_TELL,
            f"No limits were set for a {calibration.effort} scan: use the default effort.",
        )
    if findings.reference:
        scale = calibration.reference
        than = "than with the reference"
    elif calibration.covers(architecture, findings):
        scale = calibration.alone
        than = "than with benign encoders"
    else:
        return Judgement(Verdict.CANNOT_TELL, _not_covered(architecture, findings, calibration))
    score = max(opening_scores(findings))
    if score >= scale.suspect_from:
        verdict = Verdict.SUSPECT
        reason = f"One change of all images gathers their features far more {than}."
    elif not calibration.covers(architecture, findings):
        # An architecture whose features lie further apart has lower scores, backdoored or not.
        verdict = Verdict.CANNOT_TELL
        reason = (
            f"No change stands out against the reference, but scores of {architecture} may lie "
            f"below those of {', '.join(calibration.architectures)}, which the limits are for."
        )
    elif score < scale.no_evidence_below:
        verdict = Verdict.NO_EVIDENCE
        reason = f"No change that was tried gathers the features of all images more {than}."
    else:
        verdict = Verdict.CANNOT_TELL
        reason = (
            f"Some change gathers the features of all images a little more {than}; backdoored and "
            "benign encoders both have such scores."
        )
    return Judgement(verdict, reason, score, scale)


def opening_scores(findings: Findings) -> list[float]:
    """The strength of each opening, less the gathering of the reference if there is one."""
    own = [opening.strength for opening in findings.openings]
    if not findings.reference:
        return own
    return [score - beyond for score, beyond in zip(own, findings.reference, strict=True)]


def _not_covered(architecture: str, findings: Findings, calibration: Calibration) -> str:
    if architecture not in calibration.architectures:
        return (
            f"The limits were set on {', '.join(calibration.architectures)} and do not hold for "
            f"{architecture}: give a trusted encoder of the same kind as a reference."
        )
    low, high = calibration.alike
    return (
        f"The features of different images have a mean cosine of {findings.alike:.2f}, and the "
        f"limits were set on encoders with {low:.2f} to {high:.2f}: give a trusted encoder of the "
        "same kind as a reference."
    )


@cache
def calibration(effort: Effort) -> Calibration:
    """The calibration in the package."""
    content = json.loads(files(__package__).joinpath("calibration.json").read_text())
    return read_calibration(content, effort)


def read_calibration(content: Mapping[str, Any], effort: Effort) -> Calibration:
    """The calibration of one effort from the content of calibration.json."""
    scales = {
        name: Scale(
            suspect_from=each["suspect_from"],
            no_evidence_below=each["no_evidence_below"],
            facts=each["facts"],
        )
        for name, each in content["efforts"].get(effort, {}).items()
    }
    low, high = content["alike"]
    return Calibration(
        tuple(content["architectures"]),
        (low, high),
        content["population"],
        effort,
        alone=scales.get("alone"),
        reference=scales.get("reference"),
    )
