from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.data.epoch import EpochPlan

ORDER = """
import hashlib
from mimic_ray.data.epoch import EpochPlan
plan = EpochPlan(images=103, global_batch=8, seed=5)
print(hashlib.sha256(b"".join(plan.batch(s).numpy().tobytes() for s in range(60))).hexdigest())
"""


@pytest.mark.parametrize("world_size", [1, 2, 4, 5, 12])
def test_the_shares_of_all_workers_form_the_global_batch(world_size):
    plan = EpochPlan(images=50, global_batch=12, seed=3)
    for step in range(10):
        shares = [plan.share(step, rank, world_size) for rank in range(world_size)]
        assert {len(share) for share in shares} <= {12 // world_size, -(-12 // world_size)}
        assert torch.equal(torch.cat(shares), plan.batch(step))


def test_no_image_repeats_within_an_epoch_and_all_appear_over_several():
    plan = EpochPlan(images=50, global_batch=12, seed=3)
    assert plan.steps_per_epoch == 4
    seen: set[int] = set()
    for epoch in range(20):
        images = torch.cat([plan.batch(4 * epoch + position) for position in range(4)])
        assert len(images.unique()) == 48
        seen.update(images.tolist())
    assert seen == set(range(50))


def test_the_order_differs_between_epochs_and_between_seeds():
    plan = EpochPlan(images=64, global_batch=64, seed=3)
    assert not torch.equal(plan.batch(0), plan.batch(1))
    assert not torch.equal(plan.batch(0), EpochPlan(64, 64, 4).batch(0))


def test_the_batch_of_a_step_does_not_depend_on_earlier_calls():
    plan = EpochPlan(images=64, global_batch=16, seed=3)
    late = plan.batch(33)
    for step in (0, 8, 90, 5):
        plan.batch(step)
    assert torch.equal(plan.batch(33), late)


def test_the_order_is_the_same_in_another_process():
    plan = EpochPlan(images=103, global_batch=8, seed=5)
    here = hashlib.sha256(b"".join(plan.batch(s).numpy().tobytes() for s in range(60))).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", ORDER], capture_output=True, text=True, check=True, timeout=60
    )
    assert there.stdout.strip() == here


def test_too_few_images_for_a_batch_are_refused_with_both_numbers():
    with pytest.raises(UsageError, match=r"7 images .* of 8"):
        EpochPlan(images=7, global_batch=8, seed=0)


def test_more_workers_than_images_in_a_batch_are_refused_with_both_numbers():
    plan = EpochPlan(images=100, global_batch=3, seed=0)
    with pytest.raises(UsageError, match=r"batch of 3 .* 4 workers"):
        plan.share(0, 0, 4)
