from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from mimic_ray.base.errors import TrainingError
from mimic_ray.defences.training_loop import (
    batches,
    defended,
    phases,
    suspect_as_student,
    suspect_as_teacher,
    train,
)
from mimic_ray.method.schedule import learning_rate
from tests.support.small_defence_inputs import defence_inputs


def test_batches_have_new_views_in_each_epoch_and_equal_ones_for_the_same_seed():
    first = [*batches(defence_inputs(), 6, 8)]
    again = [*batches(defence_inputs(), 6, 8)]
    keys = torch.cat([each.keys for each in first])
    assert len(keys.unique()) == 48
    assert all(torch.equal(a.view(), b.view()) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0].view(1), first[0].view(2))
    assert first[0].view().shape == first[0].simclr_view().shape == (8, 3, 32, 32)


def test_training_follows_the_schedule_from_the_optimisers_rate():
    inputs = defence_inputs()
    weight = nn.Parameter(torch.zeros(()))
    train(inputs, torch.optim.SGD([weight], 0.5), lambda each: -weight, steps=10, batch=8)
    expected = sum(learning_rate(step, 10, 0.5, "one_cycle", 0.1) for step in range(10))
    assert weight.item() == pytest.approx(expected)


def test_a_loss_that_is_not_finite_ends_the_training_before_a_weight_changes():
    inputs = defence_inputs()
    weight = nn.Parameter(torch.ones(()))
    with pytest.raises(TrainingError, match="diverged: its loss at step 3 is nan"):
        train(
            inputs,
            torch.optim.SGD([weight], 0.5),
            lambda each: weight * (float("nan") if each.step == 2 else 0.0),
            steps=5,
            batch=8,
        )
    assert weight.item() == 1


def test_weights_that_are_not_finite_are_no_result():
    student = suspect_as_student(defence_inputs())
    student.net.bn1.running_mean[0] = float("inf")
    with pytest.raises(TrainingError, match="diverged: weights"):
        defended(student, 1)


def test_phases_report_progress_as_one_and_draw_their_own_numbers():
    seen: list[tuple[int, int]] = []
    inputs = replace(defence_inputs(), on_step=lambda done, total: seen.append((done, total)))
    first, second = phases(inputs, 2, 3)
    first.on_step(2, 2)
    second.on_step(1, 3)
    assert seen == [(2, 5), (3, 5)]
    assert first.seed == inputs.seed != second.seed


def test_copies_of_the_suspect_are_independent():
    inputs = defence_inputs()
    teacher, student = suspect_as_teacher(inputs), suspect_as_student(inputs)
    assert (teacher.training, student.training) == (False, True)
    assert all(p.requires_grad for p in student.parameters())
    assert not any(p.requires_grad for p in [*teacher.parameters(), *inputs.suspect.parameters()])
    with torch.no_grad():
        student.net.conv1.weight.zero_()
    assert teacher.net.conv1.weight.abs().sum() > 0
