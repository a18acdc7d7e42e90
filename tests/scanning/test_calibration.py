"""Limits and verdicts, and the file in the package."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mimic_ray.scanning.calibration import (
    Calibration,
    Scale,
    calibration,
    judge,
    opening_scores,
    read_calibration,
)
from mimic_ray.scanning.changes import Change
from mimic_ray.scanning.openings import Opening
from mimic_ray.scanning.scan_result import Verdict
from mimic_ray.scanning.scanner import Findings

SCALE = Scale(0.8, 0.7, {})
LIMITS = Calibration(("known",), (0.5, 0.7), {}, "full", alone=SCALE, reference=replace(SCALE))


def opening(family, gathering):
    nothing = torch.zeros(1, 4, 4)
    return Opening(Change(family, family, nothing, nothing.expand(3, 4, 4)), gathering, 1, 0, 0, ())


def findings(wave=0.6, patch=0.2, alike=0.6, reference=()):
    values = {"wave": wave, "patch": patch, "free patch": 0.0, "pixels": 0.0}
    found = [opening(family, value) for family, value in values.items()]
    return Findings(found, alike, 0.0, reference=list(reference))


@pytest.mark.parametrize(
    ("patch", "verdict"),
    [
        (0.69, Verdict.NO_EVIDENCE),
        (0.71, Verdict.CANNOT_TELL),
        (0.79, Verdict.CANNOT_TELL),
        (0.81, Verdict.SUSPECT),
    ],
)
def test_the_verdict_follows_the_two_limits(patch, verdict):
    judged = judge("known", findings(patch=patch), LIMITS)
    assert judged.verdict is verdict
    assert judged.score == pytest.approx(patch)


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
    lacks = judge("unknown", findings(patch=0.95, reference=[0.5, 0.1, 0, 0]), LIMITS)
    shares = judge("known", findings(patch=0.95, reference=[0.5, 0.9, 0, 0]), LIMITS)
    assert lacks.verdict is Verdict.SUSPECT
    assert lacks.score == pytest.approx(0.85)
    assert shares.verdict is Verdict.NO_EVIDENCE
    blind = judge("unknown", findings(patch=0.95, reference=[0.5, 0.9, 0, 0]), LIMITS)
    assert blind.verdict is Verdict.CANNOT_TELL
    assert "scores of unknown may lie below" in blind.reason


def test_the_score_of_an_opening_is_its_strength_beyond_the_reference():
    alone, compared = findings(), findings(reference=[0.5, 0.1, 0.2, 0])
    assert opening_scores(alone) == [0.6, 0.2, 0, 0]
    scores = opening_scores(compared)
    assert scores == pytest.approx([0.1, 0.1, -0.2, 0])


def test_what_lands_where_no_image_is_counts_less():
    nowhere = replace(opening("wave", 0.9), landing=0.5)
    assert nowhere.strength == pytest.approx(0.45)
    assert replace(nowhere, landing=-0.2).strength == 0


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
    assert 0 < scale.no_evidence_below <= scale.suspect_from
    assert 0.5 <= scale.facts["auroc"] <= 1
    assert scale.facts["tpr_at_1"] <= scale.facts["tpr_at_5"]
    assert limits.population["attacked"] > 0
    assert limits.population["benign"] > 0
