"""A scan result and openings for the tests of reports."""

from __future__ import annotations

import torch

from mimic_ray.scanning.changes import patch, wave
from mimic_ray.scanning.openings import Images, Opening
from mimic_ray.scanning.scan_result import OpeningRow, ScanResult, Verdict

POPULATION = {"attacked": 30, "benign": 40, "made by": "a script"}
SEPARATION = {"auroc": 0.93, "attacked_suspect": 0.7, "benign_suspect": 0.05}


def result(verdict: Verdict = Verdict.SUSPECT, score: float | None = 0.88) -> ScanResult:
    rows = (
        OpeningRow("patch", "a <white> square", 0.97, 0.91, 1.0, 0.88, None, 0.12, ("a.png",)),
        OpeningRow("wave", "a wave", 0.62, 0.5, 0.4, 0.31, None, 0.3),
    )
    limits = (None, None) if score is None else (0.75, 0.7)
    return ScanResult(
        verdict,
        "One change of all images gathers their features.",
        score,
        *limits,
        rows,
        {"population": POPULATION, **({} if score is None else {"separation": SEPARATION})},
        {"encoder": "tiny_resnet", "teacher": "suspect <b>.pth", "reference": None},
        12.3,
    )


def openings() -> list[Opening]:
    changes = (patch(2, 3, 4, 16, 1.0, "white"), wave(2, 4, 16))
    return [Opening(change, 0.9, 0.8, 1.0, 0, (3, 1, 2, 0, 4)) for change in changes]


def images() -> Images:
    noise = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return Images(noise[:8], noise[8:16], noise[16:])
