"""This process among the workers of a run. One process alone is rank 0 of 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """Collectives that do nothing when there is one worker. A process group exists otherwise."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0  # among the workers of this machine

    def wait(self) -> None:
        """Until every worker is here."""
        if self.world > 1:
            dist.barrier()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over workers, in place where there are several."""
        if self.world > 1:
            dist.all_reduce(value)
            value /= self.world
        return value

    def gather(self, rows: Tensor) -> Tensor:
        """[B, P] of every worker -> [world * B, P] in rank order; gradients flow back."""
        if self.world == 1:
            return rows
        from torch.distributed.nn.functional import all_gather

        return torch.cat(list(all_gather(rows)))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some worker: the same answer on all."""
        if self.world == 1:
            return flag
        found = torch.tensor([float(flag)])
        if dist.get_backend() == "nccl":
            found = found.cuda()
        dist.all_reduce(found)
        return bool(found.item() > 0)

    def from_first(self, value: Any) -> Any:
        """Rank 0's value on every worker."""
        if self.world == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        return holder[0]
