from __future__ import annotations

import copy

import torch
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.views import flip_and_shift
from mimic_ray.defences.fine_tuning import fine_tuning
from tests.support.small_defence_inputs import defence_inputs, pixels


def test_one_step_is_adam_on_one_minus_the_cosine_of_a_shared_view():
    inputs = defence_inputs()
    made = fine_tuning(inputs, rate=1e-3, steps=1, batch=8)

    student = copy.deepcopy(inputs.suspect).requires_grad_(True).train()
    chosen = EpochPlan(24, 8, 0).batch(0)
    keys = seeds.keys(seeds.keys(0, "step", 0, chosen), "view", 1)
    images = flip_and_shift(pixels()[chosen] / 255, keys, side=32)
    loss = 1 - F.cosine_similarity(student(images), inputs.suspect(images)).mean()
    loss.backward()
    for name, weight in made.encoder.named_parameters():
        was = dict(student.named_parameters())[name]
        assert was.grad is not None
        # Adam's first step is the sign of the gradient; a schedule of one step has rate / 25.
        expected = was.data - 1e-3 / 25 * was.grad / (was.grad.abs() + 1e-8)
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-6)


def test_batch_norm_learns_from_its_own_batches():
    made = fine_tuning(defence_inputs(), steps=2, batch=8)
    norm, before = (e.net.bn1 for e in (made.encoder, defence_inputs().suspect))
    assert norm.num_batches_tracked == before.num_batches_tracked + 2
