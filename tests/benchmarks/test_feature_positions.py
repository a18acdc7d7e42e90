"""Where a trigger acts in features of several positions, and losses that see each of them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from benchmarks.feature_positions import by_position, report, squares, worst_position
from mimic_ray.evaluation.file_head import FileHead


def inputs(student, teacher):
    """Maps [B, C, positions] as flat features."""
    sides = (SimpleNamespace(features=maps.flatten(1)) for maps in (student, teacher))
    return SimpleNamespace(**dict(zip(("student", "teacher"), sides, strict=True)))


def test_the_losses_see_a_position_that_the_cosine_of_all_features_hardly_does():
    """One of 16 positions is turned by a right angle, and another doubled."""
    teacher = torch.zeros(2, 3, 16)
    teacher[:, 0] = 1
    student = teacher.clone()
    student[:, :, 5] = torch.tensor([0.0, 1.0, 0.0])
    student[:, :, 6] *= 2
    given = inputs(student, teacher)
    assert float(by_position(given)) == pytest.approx(1 / 16)
    assert float(worst_position(given)) == pytest.approx(1)
    assert float(worst_position(inputs(teacher, teacher))) == pytest.approx(0, abs=1e-6)


def test_the_report_finds_the_position_that_decides(capsys):
    """The target's weights read channel 1; the trigger puts it into position 3 of 4."""
    clean = torch.zeros(5, 2, 4)
    clean[:, 0] = 1
    triggered = clean.clone()
    triggered[:, 1, 3] = 8
    weight = torch.zeros(2, 2, 4)
    weight[0, 0], weight[1, 1] = 1, 1
    head = FileHead(weight.flatten(1), torch.zeros(2), "fc")
    report(clean.flatten(1), triggered.flatten(1), head, 1, 4)
    shown = capsys.readouterr().out
    assert "only position 3 as with the trigger 100.0 %" in shown
    assert re.search(r"added to the target's logit\n +0\.00 +0\.00\n +0\.00 +8\.00", shown)


def test_squares_lie_inside_the_image():
    assert squares(32, 4)["bottom right"] == (27, 27)
    assert squares(32, 4)["middle"] == (14, 14)
