"""The time model against real steps. What it is calibrated with knows nothing of the networks:
convolutions and linear layers of a few widths and a batch norm, measured on this machine."""

from __future__ import annotations

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.planning import calibrate
from mimic_ray.planning.trace import trace
from mimic_ray.planning.traced_step import make_step

CPU = Compute("cpu", "fp32", 1)


@pytest.mark.slow
def test_predicted_step_time_is_within_a_fifth_of_four_real_networks():
    torch.set_num_threads(1)
    far = {}
    for name, batch in (
        ("tiny_vit", 64),
        ("cifar_resnet20", 64),
        ("simclr_resnet18", 16),
        ("vit_ti16", 8),
    ):
        recipe = parse_recipe({"training": {"batch": batch, "precision": "fp32"}})
        networks = encoder_registry.build(name), encoder_registry.build(name)
        step = make_step(*networks, recipe, batch, CPU)
        traced = trace(name, recipe, batch)
        # Rates just before and after the steps: neighbours on the machine come and go.
        before = calibrate.predict(traced, calibrate.measure.__wrapped__(CPU))
        real = calibrate.seconds(step.take, CPU.torch_device, rounds=5)
        after = calibrate.predict(traced, calibrate.measure.__wrapped__(CPU))
        far[name] = (before + after) / 2 / real
    print(far)
    assert all(0.8 < ratio < 1.2 for ratio in far.values()), far


def test_the_clock_gives_the_median_and_throws_the_first_round_away(monkeypatch):
    times = iter([0, 100, 100, 101, 101, 103, 103, 113])
    monkeypatch.setattr(calibrate, "_now", lambda device: next(times))
    assert calibrate.seconds(lambda: None, torch.device("cpu"), rounds=3) == 2
