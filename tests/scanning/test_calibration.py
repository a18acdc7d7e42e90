"""Limits and verdicts, and the file in the package."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mimic_ray.scanning.calibration import (
    Calibration,
    Scale,
    by_meaning,
    calibration,
    deviation,
    judge,
    read_calibration,
)
from mimic_ray.scanning.changes import Change
from mimic_ray.scanning.openings import FAMILIES, Opening
from mimic_ray.scanning.scan_result import Verdict
from mimic_ray.scanning.scanner import Findings

SCALE = Scale({"wave": (0.6, 0.1), "patch": (0.2, 0.05)}, 4.0, 2.0, {})
LIMITS = Calibration(("known",), (0.5, 0.7), {}, "full", alone=SCALE, reference=replace(SCALE))


def opening(family, gathering):
    nothing = torch.zeros(1, 4, 4)
    return Opening(Change(family, family, nothing, nothing.expand(3, 4, 4)), gathering, 0, 0, 0, ())


def findings(wave=0.6, patch=0.2, alike=0.6, reference=()):
    values = {"wave": wave, "patch": patch, "free patch": 0.0, "pixels": 0.0}
    found = [opening(family, value) for family, value in values.items()]
    return Findings(found, alike, 0.0, reference=list(reference))


def test_a_deviation_is_in_spreads_and_the_total_is_the_largest():
    assert SCALE.deviation("patch", 0.45) == pytest.approx(5)
    assert SCALE.total({"wave": 0.7, "patch": 0.45}) == pytest.approx(5)


@pytest.mark.parametrize(
    ("patch", "verdict"),
    [
        (0.2, Verdict.NO_EVIDENCE),
        (0.29, Verdict.NO_EVIDENCE),
        (0.31, Verdict.CANNOT_TELL),
        (0.39, Verdict.CANNOT_TELL),
        (0.41, Verdict.SUSPECT),
    ],
)
def test_the_verdict_follows_the_two_limits(patch, verdict):
    judged = judge("known", findings(patch=patch), LIMITS)
    assert judged.verdict is verdict
    assert judged.score == pytest.approx((patch - 0.2) / 0.05)


def test_another_architecture_gets_no_verdict_and_advice():
    judged = judge("unknown", findings(patch=0.9), LIMITS)
    assert (judged.verdict, judged.score) == (Verdict.CANNOT_TELL, None)
    assert "do not hold for unknown" in judged.reason
    assert "reference" in judged.reason


@pytest.mark.parametrize("alike", [0.2, 0.99])
def test_features_unlike_those_of_the_population_get_no_verdict(alike):
    judged = judge("known", findings(patch=0.9, alike=alike), LIMITS)
    assert judged.verdict is Verdict.CANNOT_TELL
    assert f"{alike:.2f}" in judged.reason


def test_a_reference_gives_a_verdict_on_any_architecture_by_what_it_lacks():
    lacks = judge("unknown", findings(patch=0.9, reference=[0, 0.1, 0, 0]), LIMITS)
    shares = judge("unknown", findings(wave=0.5, patch=0.9, reference=[0, 0.9, 0, 0]), LIMITS)
    assert lacks.verdict is Verdict.SUSPECT
    assert lacks.score == pytest.approx((0.8 - 0.2) / 0.05)
    assert shares.verdict is Verdict.NO_EVIDENCE


def test_openings_are_ordered_by_what_they_mean_not_by_how_strong_they_are():
    found = findings(wave=0.7, patch=0.5)
    judged = judge("known", found, LIMITS)
    assert [found.openings[n].change.family for n in by_meaning(found, judged)][:2] == [
        "patch",
        "wave",
    ]
    assert deviation(found, 1, judged) == pytest.approx(6)
    assert deviation(found, 2, judged) is None, "not on the scale"
    blind = judge("unknown", found, LIMITS)
    assert next(found.openings[n].change.family for n in by_meaning(found, blind)) == "wave"


def test_an_effort_without_limits_gets_no_verdict():
    blind = replace(LIMITS, effort="quick", alone=None, reference=None)
    judged = judge("known", findings(patch=0.9), blind)
    assert judged.verdict is Verdict.CANNOT_TELL
    assert "No limits were set for a quick scan" in judged.reason


def test_a_file_without_an_effort_has_no_limits_for_it():
    content = {"architectures": ["a"], "alike": [0.5, 0.6], "population": {}, "efforts": {}}
    assert read_calibration(content, "quick").alone is None


@pytest.mark.parametrize("which", ["alone", "reference"])
def test_the_file_in_the_package_is_consistent(which):
    limits = calibration("full")
    scale = getattr(limits, which)
    assert set(scale.benign) <= set(FAMILIES)
    assert all(spread > 0 for _, spread in scale.benign.values())
    assert 0 < scale.no_evidence_below <= scale.suspect_from
    assert 0.5 <= scale.facts["auroc"] <= 1
    assert scale.facts["tpr_at_1"] <= scale.facts["tpr_at_5"]
    assert limits.population["attacked"] > 0
    assert limits.population["benign"] > 0
