"""Gathering and landing against their definitions, and a planted opening."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.scanning.answers import centred, gathering, landing, moved
from mimic_ray.scanning.changes import patch
from tests.evaluation.suspicion.planted import encoder, images

CPU = Compute("cpu", "fp32", 1)


def test_gathering_is_the_mean_cosine_over_pairs():
    found = F.normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    pairs = [float(found[i] @ found[j]) for i in range(7) for j in range(7) if i != j]
    assert gathering(found).item() == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_landing_is_the_largest_cosine_of_the_mean_with_a_real_image():
    real = torch.eye(3)
    found = F.normalize(torch.tensor([[1.0, 0.2, 0.0], [1.0, -0.2, 0.0]]), dim=1)
    assert landing(found, real).item() == pytest.approx(1.0)
    assert landing(found, real[1:]).item() == pytest.approx(0.0, abs=1e-6)


def test_clean_images_do_not_gather_and_are_centred():
    encode, real = centred(encoder().requires_grad_(False), images(), CPU)
    assert gathering(real).abs() < 0.1
    assert torch.allclose(encode(images()), real, atol=1e-5)


def test_a_planted_trigger_gathers_and_a_clean_encoder_ignores_it():
    trigger = [patch(4, 4, 8, 32, 1.0, "white")]
    found = {}
    for name, strength in (("planted", 40.0), ("clean", 0.0)):
        encode, _ = centred(encoder(strength).requires_grad_(False), images(), CPU)
        found[name] = gathering(moved(encode, images(), trigger)).item()
    assert found["planted"] > 0.9
    assert found["clean"] < 0.6


def test_changes_are_independent_of_how_they_are_batched():
    encode, _ = centred(encoder(10.0).requires_grad_(False), images(), CPU)
    changes = [patch(top, 4, 8, 32, 1.0, "white") for top in range(9)]
    together = moved(encode, images(), changes)
    assert together.shape == (9, 64, 16)
    alone = torch.cat([moved(encode, images(), [change]) for change in changes])
    assert torch.allclose(together, alone, atol=1e-5)
