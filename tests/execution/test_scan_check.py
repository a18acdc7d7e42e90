"""The scan of a run tells which openings of the suspect its student still has."""

from __future__ import annotations

import numpy as np
import pytest

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DataError
from mimic_ray.data.image_source import open_images
from mimic_ray.execution import scan_check
from mimic_ray.execution.scan_check import ScanCheck
from tests.evaluation.suspicion.planted import encoder, images

CPU = Compute("cpu", "fp32", 1)


@pytest.fixture
def check_of(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan_check, "EFFORT", "quick")

    def make(count, suspect, on_progress=lambda progress: None):
        pixels = (images(count) * 255).byte().permute(0, 2, 3, 1).numpy()
        np.savez(tmp_path / "images.npz", x=pixels)
        source = open_images(tmp_path / "images.npz")
        return ScanCheck(source, suspect, CPU, {"encoder": "planted"}, on_progress)

    return make


def test_a_student_without_the_backdoor_closes_openings(check_of):
    check = check_of(96, encoder(40.0))
    found = check.result(encoder(0.0))
    assert 0 < found.closed <= found.found
    patch = next(row for row in found.before.openings if row.family == "patch")
    assert patch.student < patch.gathering / 2
    assert all(row.student is None for row in found.after.openings)


def test_an_unchanged_student_closes_none_and_has_the_same_scan(check_of):
    steps = []
    check = check_of(96, encoder(40.0), steps.append)
    found = check.result(encoder(40.0))
    assert found.closed == 0 < found.found
    assert [row.score for row in found.after.openings] == pytest.approx(
        [row.score for row in found.before.openings]
    )
    assert {step.phase for step in steps} == {"scan"}
    summary = found.summary()
    assert summary["openings"] == summary["left"] == found.found
    reason = "No limits were set for a quick scan: use the default effort."
    assert summary["before"] == {"verdict": "cannot tell", "reason": reason, "score": None}


def test_too_few_images_are_refused(check_of):
    with pytest.raises(DataError, match="needs at least 64"):
        check_of(40, encoder(40.0))


def test_held_out_images_are_used_if_they_are_enough(check_of):
    found = check_of(1400, encoder(0.0)).result(encoder(0.0))
    assert found.before.settings["images"] == 70
