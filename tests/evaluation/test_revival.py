"""Plain distillation and fine-tuning after purification, on a tiny encoder."""

from __future__ import annotations

import copy

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import TrainingError
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.revival import (
    FineTuning,
    PlainDistillation,
    distilled_again,
    few_of_each_class,
    fine_tuned,
)
from tests.support.images_in_memory import ImagesInMemory

CPU = Compute("cpu", "fp32", 1)


def tiny(seed: int):
    torch.manual_seed(seed)
    return build("tiny_resnet").eval().requires_grad_(False)


def coloured(each: int) -> tuple[ImagesInMemory, torch.Tensor]:
    """Noisy images of three colours, and which colour each has."""
    labels = torch.arange(3).repeat_interleave(each)
    noise = torch.randint(0, 80, (3 * each, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    colour = 150 * torch.eye(3)[labels].long()[:, :, None, None]
    return ImagesInMemory((noise + colour).to(torch.uint8)), labels


def weights(encoder):
    return torch.cat([each.flatten().float() for each in encoder.state_dict().values()])


def test_plain_steps_bring_the_student_towards_the_suspect_and_change_a_copy():
    images, _ = coloured(20)
    student, suspect = tiny(1), tiny(0)
    before = weights(student), weights(suspect)
    aim, started = features(suspect, images, CPU), features(student, images, CPU)
    again = distilled_again(student, suspect, images, CPU, 0, PlainDistillation(steps=30))
    ended = features(again, images, CPU)
    assert (ended * aim).sum(1).mean() > (started * aim).sum(1).mean() + 0.1
    assert torch.equal(weights(student), before[0])
    assert torch.equal(weights(suspect), before[1])
    assert not any(each.requires_grad for each in again.parameters())
    assert not again.training


def test_the_first_step_is_one_of_adam_with_the_whole_rate():
    """Adam's first step moves every weight with a gradient by the rate."""
    images, _ = coloured(4)
    student = tiny(1)
    again = distilled_again(student, tiny(0), images, CPU, 0, PlainDistillation(steps=1, rate=1e-3))
    moved = [
        (new - old).abs().max()
        for (name, old), new in zip(student.named_parameters(), again.parameters(), strict=True)
    ]
    assert max(moved) == pytest.approx(1e-3, rel=1e-2)


def test_the_rate_falls_to_zero_on_a_cosine(monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def noted(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    images, _ = coloured(4)
    distilled_again(tiny(1), tiny(0), images, CPU, 0, PlainDistillation(steps=4, rate=1.0))
    assert rates == pytest.approx([1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])


def test_the_same_seed_gives_the_same_encoder_and_the_global_generator_is_restored():
    images, labels = coloured(12)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, two = (
        fine_tuned(tiny(0), images, labels, 3, CPU, 5, FineTuning(epochs=1)) for _ in range(2)
    )
    assert torch.equal(weights(one.encoder), weights(two.encoder))
    torch.manual_seed(7)
    fine_tuned(copy.deepcopy(one.encoder), images, labels, 3, CPU, 5, FineTuning(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_a_user_s_fine_tuning_learns_the_classes_with_encoder_and_head():
    images, labels = coloured(40)
    encoder = tiny(0)
    before = weights(encoder)
    tuned = fine_tuned(encoder, images, labels, 3, CPU, 0)
    predicted = tuned.head(features(tuned.encoder, images, CPU))
    assert (predicted == labels).float().mean() > 0.9
    assert torch.equal(weights(encoder), before)
    assert not torch.equal(weights(tuned.encoder), before)


def test_few_images_are_a_share_of_each_class_and_a_least_number():
    labels = torch.tensor([0] * 2000 + [1] * 300 + [2] * 4)
    few = few_of_each_class(labels, 0.01, 10, seed=0)
    assert torch.bincount(labels[few]).tolist() == [20, 10, 4]
    assert torch.equal(few, few.sort().values)
    assert not torch.equal(few, few_of_each_class(labels, 0.01, 10, seed=1))


def test_weights_that_are_not_finite_are_an_error():
    images, _ = coloured(4)
    broken = tiny(1)
    broken.net.conv1.weight.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="loss is nan"):
        distilled_again(broken, tiny(0), images, CPU, 0, PlainDistillation(steps=2))
