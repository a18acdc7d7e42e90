from __future__ import annotations

from dataclasses import replace

import torch

from mimic_ray.base import seeds
from mimic_ray.defences.simclr_tuning import continue_simclr, simclr, simclr_steps
from mimic_ray.defences.training_loop import Batch, batches, phases, suspect_as_student
from mimic_ray.method.projector import make_projector
from tests.support.first_step import FIRST_RATE, adam_step, require_step
from tests.support.small_defence_inputs import defence_inputs


def test_the_projector_is_trained_alone_at_first():
    weights: list[torch.Tensor] = []
    means: list[torch.Tensor] = []
    inputs = defence_inputs()
    encoder = suspect_as_student(inputs)

    def on_step(_: int, total: int) -> None:
        assert total == simclr_steps(11) == 13
        weights.append(encoder.net.conv1.weight.detach().clone())
        means.append(encoder.net.bn1.running_mean.clone())

    seen = continue_simclr(replace(inputs, on_step=on_step), encoder, steps=11, batch=4, rate=1e-3)
    for number in (0, 1):
        torch.testing.assert_close(weights[number], inputs.suspect.net.conv1.weight)
        torch.testing.assert_close(means[number], inputs.suspect.net.bn1.running_mean)
    assert not torch.equal(weights[2], inputs.suspect.net.conv1.weight)
    assert not torch.equal(means[2], inputs.suspect.net.bn1.running_mean)
    assert seen == 13 * 4 * 2


def test_the_result_says_that_heads_must_be_trained_again():
    made = simclr(defence_inputs(), steps=1, batch=4)
    assert any("heads must be trained again" in note for note in made.notes)


def test_a_step_lowers_nt_xent_of_two_views_through_a_projector_that_had_a_step_alone():
    inputs = defence_inputs()
    rate = 1e-3 * FIRST_RATE
    made = simclr(inputs, rate=1e-3, steps=1, batch=8).encoder

    with seeds.torch_seeded(int(seeds.keys(inputs.seed, "projector"))):
        projector = make_projector(inputs.suspect.spec.feature_width)
    student = suspect_as_student(inputs).requires_grad_(False).eval()

    def nt_xent(images: Batch) -> torch.Tensor:
        z = torch.cat([projector(student(images.simclr_view(number))) for number in (1, 2)])
        z = z / z.norm(dim=1, keepdim=True)
        e = (z @ z.T / 0.5).exp()
        others = e.sum(dim=1) - e.diagonal()
        return -torch.stack([(e[i, (i + 8) % 16] / others[i]).log() for i in range(16)]).mean()

    alone, together = (next(batches(each, 1, 8)) for each in phases(inputs, 1, 1))
    weights = [*projector.parameters()]
    gradients = torch.autograd.grad(nt_xent(alone), weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.data = adam_step(weight.data, gradient + 1e-6 * weight.data, rate)
    student.requires_grad_(True).train()
    nt_xent(together).backward()
    require_step(made, student, lambda w, g: adam_step(w, g + 1e-6 * w, rate), 1e-2)
