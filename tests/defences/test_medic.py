from __future__ import annotations

import pytest
import torch

from mimic_ray.defences.medic import (
    channel_deviation,
    cloning_loss,
    importances,
    medic,
    recorded,
    uniform,
)
from mimic_ray.defences.training_loop import batches
from mimic_ray.encoders.blocks import blocks
from mimic_ray.method.student_start import untrained
from tests.support.first_step import FIRST_RATE, adam_step, cosine_distance, require_step
from tests.support.small_defence_inputs import defence_inputs, suspect


def test_importance_is_the_root_of_the_product_of_two_softmaxes():
    torch.manual_seed(0)
    outputs, gradient = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2) * 1e-6
    found = importances(outputs, gradient)
    for image in range(2):
        parts = []
        for values in (outputs[image], gradient[image]):
            e = (5 * values.abs() / values.abs().max()).flatten().exp()
            parts.append(e / e.sum())
        torch.testing.assert_close(found[image], (parts[0] * parts[1]).sqrt())


def test_equal_values_are_equally_important_and_sum_to_one():
    ones = torch.ones(2, 3, 2, 2)
    torch.testing.assert_close(importances(ones, ones), uniform(ones))
    assert uniform(ones).sum(dim=1).tolist() == pytest.approx([1, 1])


def test_outputs_are_compared_in_units_of_the_teachers_deviation():
    torch.manual_seed(0)
    teacher, student = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    deviation = channel_deviation(teacher)
    assert deviation.shape == (1, 3, 1, 1)
    assert deviation[0, 1, 0, 0].item() == pytest.approx(teacher[:, 1].std().item(), rel=1e-5)
    weights = torch.rand(2, 48)
    expected = 0.0
    for image in range(2):
        squares = ((teacher[image] - student[image]) / (deviation[0] + 1e-6)).pow(2).flatten()
        expected += float((weights[image] * squares).sum()) / 2
    assert cloning_loss(student, teacher, weights, deviation).item() == pytest.approx(expected)
    assert channel_deviation(torch.randn(2, 7, 5)).shape == (1, 1, 5)


@pytest.mark.parametrize("architecture", ["tiny_resnet", "tiny_vit"])
def test_outputs_of_all_blocks_are_recorded_and_no_hook_stays(architecture):
    encoder = suspect(architecture)
    with recorded(encoder) as outputs:
        features = encoder(torch.rand(2, 3, 32, 32))
    assert len(outputs) == len(blocks(encoder)) == 3
    if architecture == "tiny_resnet":
        torch.testing.assert_close(outputs[-1].mean(dim=(2, 3)), features)
    assert not any(module._forward_hooks for module in encoder.modules())


def test_a_step_lowers_the_clone_loss_and_the_weighted_outputs_of_all_blocks():
    inputs = defence_inputs()
    made = medic(inputs, weight=0.3, rate=4e-3, steps=1, batch=8).encoder

    student = untrained("tiny_resnet", inputs.seed).requires_grad_(True).train()
    # The blocks of tiny_resnet are its layers, and the taps give what they return.
    view, taps = next(batches(inputs, 1, 8)).view(), ["layer1", "layer2", "layer3"]
    with torch.enable_grad():
        wanted, teachers = inputs.suspect(view.requires_grad_(), taps)
    found, students = student(view.detach(), taps)
    towards = cosine_distance(wanted, found.detach())
    gradients = torch.autograd.grad(towards, teachers)
    total = cosine_distance(found, wanted.detach())
    for s, t, q in zip(students, (each.detach() for each in teachers), gradients, strict=True):
        deviation = t.transpose(0, 1).flatten(1).std(dim=1).view(-1, 1, 1)
        for image in range(8):
            e_t, e_q = ((5 * each[image].abs() / each[image].abs().max()).exp() for each in (t, q))
            w = (e_t / e_t.sum() * e_q / e_q.sum()).sqrt()
            units = (t[image] - s[image]) / deviation
            total = total + 0.3 * (w * units**2).sum() / 8
    total.backward()
    require_step(made, student, lambda w, g: adam_step(w, g, 4e-3 * FIRST_RATE), 1e-2)
