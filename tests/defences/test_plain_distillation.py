from __future__ import annotations

import pytest
import torch

from mimic_ray.defences.plain_distillation import distillation, fresh_student
from mimic_ray.defences.training_loop import batches, phases
from mimic_ray.method.student_start import untrained
from tests.support.first_step import (
    FIRST_RATE,
    adam_step,
    attention_total,
    cosine_distance,
    require_step,
)
from tests.support.small_defence_inputs import defence_inputs


def test_the_student_is_random_or_partly_the_suspect():
    inputs = defence_inputs()
    random, partial = (fresh_student(inputs, share).net for share in (1, 0.3))
    torch.testing.assert_close(random.conv1.weight, untrained("tiny_resnet", 0).net.conv1.weight)
    torch.testing.assert_close(random.bn1.running_mean, torch.zeros(8))
    kept = partial.layer3[0].conv2.weight == inputs.suspect.net.layer3[0].conv2.weight
    assert kept.float().mean().item() == pytest.approx(0.7, abs=0.03)
    torch.testing.assert_close(partial.bn1.running_mean, inputs.suspect.net.bn1.running_mean)


def test_images_of_both_warm_ups_are_counted_and_without_them_features_stay():
    made = distillation(defence_inputs(), steps=2, teacher_steps=1, warm_up_steps=1, batch=4)
    assert made.images_seen == 2 * 4 + 2 * (2 * 2 * 4)
    assert made.notes
    plain = distillation(defence_inputs(), steps=2, teacher_steps=0, warm_up_steps=0, batch=4)
    assert (plain.images_seen, plain.notes) == (8, ())


def test_a_step_lowers_the_clone_loss_and_the_attention_of_a_fresh_student():
    inputs = defence_inputs()
    made = distillation(
        inputs, attention=0.01, rate=4e-3, steps=1, teacher_steps=0, warm_up_steps=0, batch=8
    ).encoder

    student = untrained("tiny_resnet", inputs.seed).requires_grad_(True).train()
    view, taps = next(batches(phases(inputs, 0, 0, 1)[2], 1, 8)).view(), list(student.spec.taps)
    with torch.no_grad():
        wanted, wanted_maps = inputs.suspect(view, taps)
    found, maps = student(view, taps)
    (cosine_distance(found, wanted) + 0.01 * attention_total(maps, wanted_maps)).backward()
    require_step(made, student, lambda w, g: adam_step(w, g, 4e-3 * FIRST_RATE), 1e-2)
