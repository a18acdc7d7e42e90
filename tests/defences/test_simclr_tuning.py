from __future__ import annotations

from dataclasses import replace

import torch

from mimic_ray.defences.simclr_tuning import continue_simclr, simclr, simclr_steps
from mimic_ray.defences.training_loop import suspect_as_student
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
