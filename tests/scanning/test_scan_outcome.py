"""The rows of a result: the openings with the highest scores, with names of real images."""

from __future__ import annotations

import torch

from mimic_ray.scanning.changes import Change
from mimic_ray.scanning.openings import Opening
from mimic_ray.scanning.scan_outcome import scan_outcome
from mimic_ray.scanning.scanner import Findings


def opening(family, gathering):
    nothing = torch.zeros(1, 4, 4)
    change = Change(family, f"{family} {gathering}", nothing, nothing.expand(3, 4, 4))
    return Opening(change, gathering, 0.5, 0.25, 0, (1, 0))


def test_the_strongest_six_are_shown_with_the_keys_of_their_nearest_images():
    families = ("wave", "patch", "free patch", "pixels")
    found = [opening(families[n % 4], n / 10) for n in range(8)]
    student = [n / 100 for n in range(8)]
    result, shown = scan_outcome(
        "unknown", Findings(found, 0.5, 1.5, student=student), "full", ["a", "b"], {"x": 1}, "out"
    )
    assert [row.gathering for row in result.openings] == [0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    assert [row.score for row in result.openings] == [0.35, 0.3, 0.25, 0.2, 0.15, 0.1]
    assert [row.student for row in result.openings] == [0.07, 0.06, 0.05, 0.04, 0.03, 0.02]
    assert result.openings[0].nearest == ("b", "a")
    assert [one.gathering for one in shown] == [row.gathering for row in result.openings]
    assert (result.verdict.value, result.score, result.folder) == ("cannot tell", None, "out")
