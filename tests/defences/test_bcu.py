from __future__ import annotations

import pytest
import torch

from mimic_ray.defences import bcu as module
from mimic_ray.defences.bcu import answers_loss, bcu, first_queue, renewed_shares
from mimic_ray.defences.training_loop import batches, suspect_as_student
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.method.schedule import learning_rate
from mimic_ray.method.student_start import renew, untrained
from tests.support.first_step import require_step
from tests.support.small_defence_inputs import defence_inputs


def test_the_share_of_fresh_weights_grows_by_stage_as_published():
    shares = renewed_shares(build("simclr_resnet18"), 1.0)
    by_layer = [shares[f"f.{layer}.0.conv1.weight"] for layer in (3, 4, 5, 6)]
    assert by_layer == pytest.approx([0.01, 0.03, 0.09, 0.27])
    assert shares["f.0.weight"] == 0.01
    assert not [name for name in shares if "bn" in name]


def test_fewer_stages_get_the_last_shares_and_a_scale_stops_at_one():
    shares = renewed_shares(build("tiny_resnet"), 4.0)
    by_layer = [shares[f"layer{layer}.0.conv1.weight"] for layer in (1, 2, 3)]
    assert by_layer == pytest.approx([0.12, 0.36, 1.0])


def test_the_loss_is_the_divergence_of_softened_answers_to_the_queue():
    torch.manual_seed(0)
    student, teacher, queue = (
        torch.nn.functional.normalize(torch.randn(n, 6), dim=1) for n in (4, 4, 9)
    )
    expected = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = (((z @ queue.T) / 0.07 / 2.5).exp() for z in (t, s))
        p, q = p / p.sum(), q / q.sum()
        expected += float((p * (p / q).log()).sum()) / 4
    assert answers_loss(student, teacher, queue, 2.5).item() == pytest.approx(expected, rel=1e-4)
    assert answers_loss(teacher, teacher, queue, 2.5).item() == pytest.approx(0, abs=1e-6)


def test_the_first_queue_holds_unit_features_of_the_suspect():
    inputs = defence_inputs()
    queue = first_queue(inputs, inputs.suspect)
    assert queue.shape == (24, 32)
    torch.testing.assert_close(queue.norm(dim=1), torch.ones(24))


def test_a_student_starts_with_the_suspects_norms_and_about_its_share_of_its_weights():
    inputs = defence_inputs()
    made = bcu(inputs, rate=1e-12, steps=1, batch=8).encoder.net
    kept = (made.layer3[0].conv2.weight - inputs.suspect.net.layer3[0].conv2.weight).abs() < 1e-6
    assert kept.float().mean().item() == pytest.approx(0.73, abs=0.03)
    torch.testing.assert_close(made.bn1.weight, inputs.suspect.net.bn1.weight)


def unit(features: torch.Tensor) -> torch.Tensor:
    return features / features.norm(dim=1, keepdim=True)


def test_a_step_lowers_the_divergence_at_the_highest_temperature():
    inputs = defence_inputs()
    made = bcu(inputs, rate=0.1, steps=1, batch=8).encoder

    student = suspect_as_student(inputs)
    fresh = untrained(inputs.architecture, inputs.seed)
    renew(student, fresh, renewed_shares(student, 1.0), inputs.seed)
    view, queue = next(batches(inputs, 1, 8)).view(), first_queue(inputs, inputs.suspect)
    with torch.no_grad():
        wanted = (unit(inputs.suspect(view)) @ queue.T / 0.07 / 4).softmax(dim=1)
    found = (unit(student(view)) @ queue.T / 0.07 / 4).log_softmax(dim=1)
    ((wanted * (wanted.log() - found)).sum() / 8).backward()
    rate = learning_rate(0, 1, 0.1, "one_cycle", 0.0)
    require_step(made, student, lambda w, g: w - rate * (g + 5e-4 * w), 1e-2)


def test_the_temperature_rises_to_four_and_the_queue_takes_the_suspects_features(monkeypatch):
    inputs, seen = defence_inputs(), []
    monkeypatch.setattr(
        module, "answers_loss", lambda *args: seen.append(args) or answers_loss(*args)
    )
    bcu(inputs, steps=3, batch=8)
    (_, wanted, queue, first), (_, _, second_queue, second), (*_, third) = seen
    assert [first, second, third] == [2.0, 3.0, 4.0]
    torch.testing.assert_close(queue, first_queue(inputs, inputs.suspect))
    torch.testing.assert_close(second_queue, torch.cat([queue[8:], wanted]))
