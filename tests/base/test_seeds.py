import subprocess
import sys

import torch

from mimic_ray.base import seeds


def test_order_and_purpose_of_the_parts_matter():
    made = {int(seeds.keys(0, *parts)) for parts in [(1, 2), (2, 1), (0, 3), ("a", 1), ("b", 1)]}
    assert len(made) == 5


def test_a_key_depends_on_its_image_and_not_on_its_batch():
    whole = seeds.keys(3, "crop", torch.arange(10))
    assert torch.equal(whole[4:7], seeds.keys(3, "crop", torch.arange(4, 7)))


def test_uniform_numbers_fill_the_unit_interval_evenly():
    numbers = seeds.uniform(seeds.keys(0, torch.arange(1000)), 100)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = torch.histc(numbers, bins=10, min=0, max=1)
    assert (counts - 10_000).abs().max() < 400  # four standard deviations
    # Neighbouring keys and neighbouring draws are unrelated.
    for other in (numbers.roll(1, 0), numbers.roll(1, 1)):
        pair = torch.stack([numbers.flatten(), other.flatten()])
        assert torch.corrcoef(pair)[0, 1].abs() < 0.015


def test_normal_numbers_have_mean_0_and_variance_1():
    numbers = seeds.normal(seeds.keys(0, torch.arange(1000)), 100)
    assert numbers.mean().abs() < 0.01
    assert (numbers.var() - 1).abs() < 0.02
    assert torch.isfinite(numbers).all()


def test_another_process_draws_the_same_numbers():
    code = "from mimic_ray.base import seeds; print(int(seeds.keys(5, 'view', 2, 9)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert int(printed) == int(seeds.keys(5, "view", 2, 9))
