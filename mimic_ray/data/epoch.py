"""The images of each worker in each step, as a pure function of seed, step and rank.

A global batch is the same for any number of workers, so a run can resume with another number.
Shares differ by at most one image, and every worker has at least one, so collectives never hang.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mimic_ray.base.errors import UsageError
from mimic_ray.base.seeds import generator
from mimic_ray.base.text import count


@dataclass(frozen=True)
class EpochPlan:
    """The order of `images` images in batches of `global_batch`, over all epochs.

    Each epoch is a new permutation and drops the incomplete last batch. Raises UsageError if there
    are fewer images than one batch.
    """

    images: int
    global_batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.global_batch < 1:
            raise UsageError(f"A batch of {self.global_batch} images is too small: set at least 1.")
        if self.images < self.global_batch:
            raise UsageError(
                f"{count(self.images, 'image')} do not fill one global batch of "
                f"{self.global_batch}: use more images or a smaller batch."
            )

    @property
    def steps_per_epoch(self) -> int:
        return self.images // self.global_batch

    def batch(self, step: int) -> Tensor:
        """int64 [global_batch]: the images of one step; steps count from 0 over all epochs."""
        epoch, position = divmod(step, self.steps_per_epoch)
        start = position * self.global_batch
        return _order(self.images, self.seed, epoch)[start : start + self.global_batch]

    def share(self, step: int, rank: int, world_size: int) -> Tensor:
        """int64 [about global_batch / world_size]: the part of `batch(step)` for worker `rank`.

        Raises UsageError if there are more workers than images in a batch.
        """
        if self.global_batch < world_size:
            raise UsageError(
                f"A global batch of {self.global_batch} is smaller than the {world_size} workers: "
                "set a larger batch or fewer workers."
            )
        start, end = share_bounds(self.global_batch, rank, world_size)
        return self.batch(step)[start:end]


def share_bounds(total: int, rank: int, world_size: int) -> tuple[int, int]:
    """Start and end of a worker's share of `total` images; shares differ by at most one."""
    return rank * total // world_size, (rank + 1) * total // world_size


@lru_cache(maxsize=4)
def _order(images: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(images, generator=generator(seed, "order of the images", epoch))
