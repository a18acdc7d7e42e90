from __future__ import annotations

import pytest
import torch

from mimic_ray.defences.plain_distillation import distillation, fresh_student
from mimic_ray.method.student_start import untrained
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
