"""The map undoes a turn of the space, and is the optimum of its formula."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.evaluation.feature_map import linear_map, mapped_back
from tests.support.small_defence_inputs import defence_inputs, pixels


def test_it_is_the_optimum_of_ridge_regression():
    generator = torch.Generator().manual_seed(0)
    found, wanted = (torch.randn(30, width, generator=generator) for width in (5, 3))
    weight, bias = (each.double().requires_grad_() for each in linear_map(found, wanted))
    h = found.double()
    ridge = 1e-4 * len(h) * (h - h.mean(dim=0)).square().mean()
    loss = (h @ weight + bias - wanted).square().sum() + ridge * weight.square().sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-3 * loss.item()


def test_a_turned_encoder_gives_the_suspect_s_features_again():
    inputs = defence_inputs(count=64)
    width = inputs.suspect.spec.feature_width
    turn = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(1))).Q
    turned = inputs.suspect.followed_by(lambda feature: 3 * feature @ turn + 1)
    images = pixels(count=8, seed=9) / 255
    wanted = inputs.suspect(images)
    assert torch.cosine_similarity(turned(images), wanted, dim=1).mean() < 0.9
    back = mapped_back(turned, inputs.suspect, inputs.images, inputs.compute)
    assert torch.cosine_similarity(back(images), wanted, dim=1).min() > 0.99
    assert back.net is turned.net


@pytest.mark.parametrize("taps", [None, ["layer1"]])
def test_taps_are_those_of_the_encoder(taps):
    encoder = defence_inputs().suspect
    images = pixels(count=2) / 255
    found = encoder.followed_by(lambda feature: 2 * feature)(images, taps=taps)
    wanted = encoder(images, taps=taps)
    if taps is None:
        assert torch.equal(found, 2 * wanted)
    else:
        assert torch.equal(found[0], 2 * wanted[0])
        assert torch.equal(found[1][0], wanted[1][0])
