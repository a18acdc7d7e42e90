from __future__ import annotations

import copy

import torch
from torch.nn import functional as F

from mimic_ray.base import seeds
from mimic_ray.defences.i_bau import i_bau
from mimic_ray.defences.training_loop import batches, phases
from tests.support.small_defence_inputs import defence_inputs


def test_a_round_of_one_step_each_is_that_of_the_formula():
    inputs = defence_inputs()
    made = i_bau(
        inputs, share=0.5, rate=1e-3, rounds=1, adversary_steps=1, steps=1, batch=8
    ).encoder

    first, second = (next(batches(each, 1, 8)).view() for each in phases(inputs, 1, 1))
    start = (2 * seeds.uniform(seeds.keys(0, "change", 0), 3 * 32 * 32) - 1) / 255
    change = start.view(3, 32, 32).requires_grad_()
    suspect = inputs.suspect
    cosine = F.cosine_similarity(suspect((first + change).clamp(0, 1)), suspect(first)).mean()
    (gradient,) = torch.autograd.grad(1 - cosine - 1e-3 * change.square().sum(), change)
    found = (change + 10 * gradient).detach()

    student = copy.deepcopy(suspect).requires_grad_(True).train()
    half = torch.cat([(second[:4] + found).clamp(0, 1), second[4:]])
    (1 - F.cosine_similarity(student(half), suspect(second)).mean()).backward()
    weight, was = made.net.conv1.weight, student.net.conv1.weight
    # Adam's first step is the sign of the gradient; a schedule of one step has rate / 25.
    expected = was.data - 1e-3 / 25 * was.grad / (was.grad.abs() + 1e-8)
    torch.testing.assert_close(weight, expected, rtol=1e-3, atol=2e-6)
