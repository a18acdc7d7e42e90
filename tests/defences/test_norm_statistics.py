from __future__ import annotations

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.defences.norm_statistics import batch_norm
from mimic_ray.defences.training_loop import batches
from tests.support.small_defence_inputs import defence_inputs


def test_the_statistics_of_the_first_norm_are_means_over_the_batches():
    inputs = defence_inputs()
    made = batch_norm(inputs, epochs=2, batch=8)
    suspect, means, variances = inputs.suspect, [], []
    for each in batches(inputs, 6, 8):
        maps = suspect.net.conv1((each.view() - suspect.mean) / suspect.std)
        means.append(maps.mean(dim=(0, 2, 3)))
        variances.append(maps.transpose(0, 1).flatten(1).var(dim=1))
    norm = made.encoder.net.bn1
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(dim=0))
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(dim=0))
    assert made.images_seen == 48


def test_a_share_moves_part_of_the_way_and_no_weight_changes():
    inputs = defence_inputs()
    whole, quarter = (batch_norm(inputs, share=s, epochs=1, batch=8).encoder for s in (1, 0.25))
    was = inputs.suspect.net.bn1
    expected = 0.75 * was.running_mean + 0.25 * whole.net.bn1.running_mean
    torch.testing.assert_close(quarter.net.bn1.running_mean, expected)
    assert quarter.net.bn1.momentum == was.momentum
    for (_, weight), (_, before) in zip(
        whole.named_parameters(), inputs.suspect.named_parameters(), strict=True
    ):
        assert torch.equal(weight, before)


def test_an_encoder_without_batch_norm_is_refused():
    with pytest.raises(UsageError, match="tiny_vit has no batch norm"):
        batch_norm(defence_inputs("tiny_vit"), epochs=1, batch=8)
