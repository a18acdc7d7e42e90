"""Sets that are larger than the cache folder: each worker reads its share, shard by shard."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from mimic_ray.base.errors import UsageError
from mimic_ray.data import shard_plan
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.data.shard_plan import ShardPlan, plan_for

# 103 images in 10 shards of different size.
SIZES = [3, 20, 11, 1, 17, 9, 12, 8, 15, 7]
SHARDS = torch.repeat_interleave(torch.arange(10), torch.tensor(SIZES))
BATCH = 12


def epoch(rank: int, world_size: int, number: int = 0, seed: int = 3) -> torch.Tensor:
    """The images of a worker in an epoch, in order."""
    plan = ShardPlan(SHARDS, BATCH, seed)
    steps = range(number * plan.steps_per_epoch, (number + 1) * plan.steps_per_epoch)
    return torch.cat([plan.share(step, rank, world_size) for step in steps])


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("number", [0, 1])
def test_no_image_is_seen_twice_in_an_epoch_by_whatever_workers(world_size, number):
    seen = torch.cat([epoch(rank, world_size, number) for rank in range(world_size)])
    assert len(seen) == 103 // BATCH * BATCH
    assert len(seen.unique()) == len(seen)


@pytest.mark.parametrize("world_size", [1, 5])
def test_the_batches_have_the_size_of_those_in_random_order(world_size):
    plan, random = ShardPlan(SHARDS, BATCH, 3), EpochPlan(103, BATCH, 3)
    assert plan.steps_per_epoch == random.steps_per_epoch
    for rank in range(world_size):
        assert len(plan.share(9, rank, world_size)) == len(random.share(9, rank, world_size))


def test_the_order_is_a_function_of_seed_epoch_and_number_of_workers():
    first = epoch(0, 2)
    assert torch.equal(epoch(0, 2), first)
    assert not torch.equal(epoch(0, 2, number=1), first)
    assert not torch.equal(epoch(0, 2, seed=4), first)
    assert not torch.equal(epoch(0, 1)[: len(first)], first)
    plan = ShardPlan(SHARDS, BATCH, 3)
    for step in (30, 0, 17, 1):  # earlier calls do not matter
        plan.share(step, 0, 2)
    assert torch.equal(plan.share(0, 0, 2), first[:6])


def test_a_worker_keeps_its_share_in_all_epochs_and_reads_no_other_shard():
    shares = [{*SHARDS[epoch(rank, 3, number)].tolist()} for rank in range(3) for number in (0, 4)]
    for first, later in zip(shares[::2], shares[1::2], strict=True):
        assert len(first ^ later) <= 2  # an incomplete batch is left out
    # Only a shard where two shares meet is read by both.
    assert (
        sum(len(first | later) for first, later in zip(shares[::2], shares[1::2], strict=True))
        <= 12
    )


def test_all_images_are_seen_over_several_epochs():
    seen = {
        row for rank in range(2) for number in range(9) for row in epoch(rank, 2, number).tolist()
    }
    assert seen == set(range(103))


def test_few_shards_are_in_use_at_a_time(monkeypatch):
    shards = torch.arange(1000) // 10
    monkeypatch.setattr(shard_plan, "WINDOW", 20)
    plan = ShardPlan(shards, 10, seed=1)
    read = torch.cat([plan.share(step, 0, 1) for step in range(100)])
    in_order = shards[read].tolist()
    first = {shard: in_order.index(shard) for shard in range(100)}
    last = {shard: 999 - in_order[::-1].index(shard) for shard in range(100)}
    open_at = [sum(first[s] <= place <= last[s] for s in range(100)) for place in range(1000)]
    assert max(open_at) <= 2 * 20 / 10 + 1
    # Neighbours in a shard are no neighbours in a batch.
    assert sum(abs(a - b) == 1 for a, b in pairwise(read)) < 100


def test_the_coming_shards_are_told_once_an_epoch_in_order_of_use():
    plan = ShardPlan(SHARDS, BATCH, 3)
    used = SHARDS[epoch(1, 2)].tolist()
    assert plan.coming(0, 1, 2) == list(dict.fromkeys(used))
    assert plan.coming(1, 1, 2) == []
    assert plan.coming(8, 1, 2) == list(dict.fromkeys(SHARDS[epoch(1, 2, number=1)].tolist()))
    resumed = ShardPlan(SHARDS, BATCH, 3)
    assert resumed.coming(5, 1, 2) == list(dict.fromkeys(used[5 * 6 :]))


def test_too_few_images_are_refused():
    with pytest.raises(UsageError, match=r"103 images .* of 104"):
        ShardPlan(SHARDS, 104, 0)


class Images:
    def __init__(self, too_large: bool) -> None:
        self.too_large = too_large

    def __len__(self) -> int:
        return 103

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        return indices

    def shards(self) -> torch.Tensor:
        return SHARDS

    def expect(self, shards: list[int]) -> None:
        pass


@pytest.mark.parametrize("too_large", [False, True])
def test_one_machine_without_room_decides_for_all(too_large):
    for own in (False, True):
        plan = plan_for(Images(own), BATCH, 3, lambda _: too_large)
        assert isinstance(plan, ShardPlan) == too_large
    alone = plan_for(Images(too_large), BATCH, 3, lambda flag: flag)
    assert isinstance(alone, ShardPlan) == too_large
