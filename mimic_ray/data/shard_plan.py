"""The images of each worker in each step, for sets that are larger than the cache folder.

In random order such a set would be read image by image. Instead each worker keeps to its share of
the shards: they are shuffled, then images within a window, as webdataset does. Unlike those of
`EpochPlan`, the batches depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from mimic_ray.base.seeds import generator
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.epoch import EpochPlan, share_bounds

# By how many positions shuffling moves an image within its worker's epoch, at most. The shards of
# twice as many images are on the disk at a time.
WINDOW = 10_000


@runtime_checkable
class ShardedImages(Protocol):
    """Images that can be read shard by shard."""

    too_large: bool  # this machine cannot keep the set, but the shards of two windows

    def shards(self) -> Tensor:
        """int64 [N]: the number of each image's shard."""
        ...

    def expect(self, shards: list[int]) -> None:
        """Fetches the shards of these numbers in this order, as far as there is space."""
        ...


class ShardPlan:
    """As `EpochPlan`, for images of which `shards` (int64 [N]) has the number of their shards.

    A worker has the same share in all epochs, in an order that is new in each: a function of seed,
    epoch and number of workers. Shares are split between images, so that none is larger; no image
    is in two of them.
    """

    def __init__(self, shards: Tensor, global_batch: int, seed: int) -> None:
        self._whole = EpochPlan(len(shards), global_batch, seed)  # checks the numbers
        self._shards, self._batch, self._seed = shards, global_batch, seed
        self._orders: dict[tuple[int, int, int], Tensor] = {}
        self._epoch = -1  # whose shards are expected

    @property
    def steps_per_epoch(self) -> int:
        return self._whole.steps_per_epoch

    def share(self, step: int, rank: int, world_size: int) -> Tensor:
        """int64 [about global_batch / world_size]: the images of worker `rank` in one step."""
        size = len(self._whole.share(0, rank, world_size))
        epoch, position = divmod(step, self.steps_per_epoch)
        return self._order(epoch, rank, world_size)[position * size : (position + 1) * size]

    def coming(self, step: int, rank: int, world_size: int) -> list[int]:
        """The shards of the rest of the worker's epoch, each where it is first used.

        Empty if the last call was for a step of the same epoch.
        """
        size = len(self._whole.share(0, rank, world_size))
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch == self._epoch:
            return []
        self._epoch = epoch
        left = self._order(epoch, rank, world_size)[position * size : self.steps_per_epoch * size]
        shards, first = np.unique(self._shards[left].numpy(), return_index=True)
        return [int(shard) for shard in shards[np.argsort(first)]]

    def _order(self, epoch: int, rank: int, world_size: int) -> Tensor:
        key = epoch, rank, world_size
        if key not in self._orders:
            # A step of the last epoch may be gathered again beside those of the next.
            self._orders = dict(list(self._orders.items())[-1:])
            self._orders[key] = self._shuffled(*key)
        return self._orders[key]

    def _shuffled(self, epoch: int, rank: int, world_size: int) -> Tensor:
        """A worker's images in the order of an epoch."""
        count = int(self._shards.max()) + 1
        dealt = torch.rand(count, generator=generator(self._seed, "share of the shards", 0))
        rows = torch.argsort(dealt[self._shards], stable=True)
        start, end = share_bounds(self._batch, rank, world_size)
        rows = rows[len(rows) * start // self._batch : len(rows) * end // self._batch]
        drawn = generator(self._seed, "order of the shards", epoch)
        order = torch.rand(count, generator=drawn)
        rows = rows[torch.argsort(order[self._shards[rows]], stable=True)]
        moved = torch.rand(len(rows), generator=drawn, dtype=torch.float64)
        return rows[torch.argsort(torch.arange(len(rows)) + WINDOW * moved)]


def plan_for(
    images: DecodedImages, global_batch: int, seed: int, any_worker: Callable[[bool], bool]
) -> EpochPlan | ShardPlan:
    """The same kind of plan on all workers: by shard if the set is too large for one of them.

    `any_worker` tells whether a flag is set on some worker.
    """
    by_shard = any_worker(isinstance(images, ShardedImages) and images.too_large)
    if by_shard and isinstance(images, ShardedImages):
        return ShardPlan(images.shards(), global_batch, seed)
    return EpochPlan(len(images), global_batch, seed)


def expect_shards(
    plan: EpochPlan | ShardPlan, images: DecodedImages, step: int, rank: int, world_size: int
) -> None:
    """Before a step is read: fetches what the epoch that begins, or is resumed, will need."""
    if not (isinstance(plan, ShardPlan) and isinstance(images, ShardedImages)):
        return
    if coming := plan.coming(step, rank, world_size):
        images.expect(coming)


def by_shard_note(plan: EpochPlan | ShardPlan, world_size: int) -> list[str]:
    """What the user must know of a run by shards, in a sentence."""
    if isinstance(plan, EpochPlan):
        return []
    workers = "the worker reads" if world_size == 1 else f"each of {world_size} workers reads"
    return [
        f"The set does not fit the cache folder, so {workers} its share of the shards, shuffled "
        "by shard and within a window: which images meet in a step depends on the number of "
        "workers. With a larger MIMIC_RAY_CACHE_GIB it does not."
    ]
