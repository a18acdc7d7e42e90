from __future__ import annotations

import pytest
import torch

from mimic_ray.defences.par import par, par_loss
from mimic_ray.defences.training_loop import add_weight_noise, batches, suspect_as_student
from tests.support.first_step import FIRST_RATE, adam_step, require_step
from tests.support.small_defence_inputs import defence_inputs


def restated(g: torch.Tensor, f: torch.Tensor, push: float, tau: float) -> float:
    count, kept = len(g), 0.0
    for i in range(count):
        others = [j for j in range(count) if j != i]
        p, q = (torch.softmax(torch.stack([h[i] @ h[j] for j in others]) / 0.07, 0) for h in (f, g))
        kept += float((p * (p / q).log()).sum()) / count
    distance = float(((g - f) ** 2).sum()) / count
    return kept - (push * distance if distance <= tau else 0)


@pytest.mark.parametrize("tau", [0.01, 4.0])
def test_relations_are_kept_and_the_push_ends_at_tau(tau):
    torch.manual_seed(0)
    g, f = (torch.nn.functional.normalize(torch.randn(5, 4), dim=1) for _ in range(2))
    assert par_loss(g, f, 0.7, tau).item() == pytest.approx(restated(g, f, 0.7, tau), rel=1e-4)


def test_a_turned_space_keeps_its_relations():
    torch.manual_seed(0)
    f = torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    turn = torch.linalg.qr(torch.randn(4, 4)).Q
    assert par_loss(f @ turn, f, 1.0, 1e-9).item() == pytest.approx(0, abs=1e-5)


def test_a_step_keeps_relations_and_raises_the_distance():
    inputs = defence_inputs()
    made = par(inputs, push=0.7, rate=1e-3, steps=1, batch=8)
    assert made.turned

    student = suspect_as_student(inputs)
    add_weight_noise(student, inputs.seed)
    view = next(batches(inputs, 1, 8)).view()
    with torch.no_grad():
        f = torch.nn.functional.normalize(inputs.suspect(view), dim=1)
    g = torch.nn.functional.normalize(student(view), dim=1)
    others = [[j for j in range(8) if j != i] for i in range(8)]
    loss = -0.7 * ((g - f) ** 2).sum() / 8
    for i, rest in enumerate(others):
        p, q = (torch.softmax(h[rest] @ h[i] / 0.07, 0) for h in (f, g))
        loss = loss + (p * (p / q).log()).sum() / 8
    loss.backward()
    # AdamW takes the weight decay off before its step.
    rate = 1e-3 * FIRST_RATE
    require_step(
        made.encoder, student, lambda w, g: adam_step(w * (1 - rate * 1e-4), g, rate), 1e-2
    )
