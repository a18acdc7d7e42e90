"""Scores of a student that differs from its teacher in known ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimic_ray.attacks.triggers.trigger import make_trigger
from mimic_ray.base.devices import Compute
from mimic_ray.evaluation.features import features
from mimic_ray.execution import trial_scores
from mimic_ray.execution.shared_inputs import ArrayImages, OracleInputs
from mimic_ray.execution.trial_scores import Scorer
from mimic_ray.method.student_start import untrained
from mimic_ray.search.objectives import suspicion_objective

COMPUTE = Compute("cpu", "fp32", 1)


class Inputs:
    """What a Scorer reads of TrialInputs."""

    held_out = np.random.default_rng(1).integers(0, 256, (32, 3, 32, 32), dtype=np.uint8)
    prepared = {}  # noqa: RUF012
    oracle = None
    effort = "full"

    def __init__(self, teacher):
        self.held_out_features = features(teacher, ArrayImages(self.held_out), COMPUTE).numpy()


@pytest.fixture
def teacher():
    return untrained("tiny_resnet", 3).eval()


@pytest.fixture(autouse=True)
def _no_suspicion(monkeypatch):
    class Found:
        score = universal = inversion = occlusion = 0.25

    monkeypatch.setattr(suspicion_objective, "suspicion", lambda *inputs: Found())


def test_the_teacher_itself_has_full_fidelity_and_another_network_less(teacher):
    scorer = Scorer(Inputs(teacher), COMPUTE, seed=0)
    same, other = scorer.quick(teacher), scorer.quick(untrained("tiny_resnet", 9))
    assert same["cosine"] == pytest.approx(1.0, abs=1e-5)
    assert other["fidelity"] < same["fidelity"]
    assert "asr" not in scorer.full(teacher)


def test_scoring_leaves_a_student_in_train_mode(teacher):
    student = untrained("tiny_resnet", 9).train()
    Scorer(Inputs(teacher), COMPUTE, seed=0).quick(student)
    assert student.training


def test_the_oracle_pastes_the_trigger_as_an_evaluation_does(teacher, monkeypatch):
    trigger = make_trigger("patch:side=8", 32)
    changed = []

    def spy(student, images, compute, change=None):  # noqa: ARG001 - as features
        if change:
            changed.append(change(images.gather(torch.arange(4))))
        return torch.randn(len(images), 32)

    monkeypatch.setattr(trial_scores, "features", spy)
    inputs = Inputs(teacher)
    pixels, labels = inputs.held_out, np.arange(32) % 4
    inputs.oracle = OracleInputs(
        pixels, labels, pixels, labels, 4, trigger.mask.numpy(), trigger.add.numpy(), 1
    )
    scores = Scorer(inputs, COMPUTE, seed=0).full(teacher)
    assert torch.equal(changed[0], trigger.apply(torch.from_numpy(pixels[:4])))
    assert 0 <= scores["acc"] <= 100
    assert 0 <= scores["asr"] <= 100
