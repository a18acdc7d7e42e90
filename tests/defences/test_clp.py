from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.defences.clp import channel_constants, clp, unit_constants
from mimic_ray.defences.prunable_units import hidden_units, normed_convolutions
from tests.defences.test_prunable_units import encoder_of
from tests.support.small_defence_inputs import defence_inputs, suspect


def test_the_constant_is_the_largest_singular_value_times_the_scale_of_the_norm():
    encoder = suspect()
    for pair in normed_convolutions(encoder):
        norm, weight = pair.norm, pair.convolution.weight.numpy()
        expected = [
            np.linalg.svd(w.reshape(len(w), -1), compute_uv=False)[0]
            * abs(float(norm.weight[k] / (norm.running_var[k] + 1e-5).sqrt()))
            for k, w in enumerate(weight)
        ]
        assert channel_constants(pair).tolist() == pytest.approx(expected, rel=1e-4)


def test_the_constant_of_a_hidden_unit_is_the_product_of_its_weights_lengths():
    mlp = hidden_units(suspect("tiny_vit"))[0]
    gamma, inward, outward = mlp.norm.weight, mlp.first.weight, mlp.second.weight
    expected = [
        float((gamma * inward[j]).square().sum().sqrt() * outward[:, j].square().sum().sqrt())
        for j in range(len(inward))
    ]
    assert unit_constants(mlp).tolist() == pytest.approx(expected, rel=1e-4)


def test_only_a_planted_channel_is_cut():
    inputs = defence_inputs()
    with torch.no_grad():
        inputs.suspect.net.layer3[0].conv2.weight[7] *= 50
    made = clp(inputs, u=5.0)
    norm = made.encoder.net.layer3[0].bn2
    assert norm.weight[7] == norm.bias[7] == 0
    assert made.notes == ("1 of 120 units were cut.",)


def test_an_encoder_with_nothing_to_prune_is_refused():
    own = encoder_of(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8)))
    with pytest.raises(UsageError, match="mine has no norm and no MLP"):
        clp(replace(defence_inputs(), suspect=own, architecture="mine"))
