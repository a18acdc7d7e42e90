"""This process among the workers of a run. One process alone is rank 0 of 1."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.data.epoch import share_bounds

Value = TypeVar("Value")

# How often rank 0 lets the others know that it is at work. Far below the timeout of a collective.
_AT_WORK_EVERY_S = 30.0


@dataclass(frozen=True)
class ProcessGroup:
    """Collectives that do nothing when there is one worker. A process group exists otherwise."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0  # among the workers of this machine

    def barrier(self) -> None:
        """Until every worker is here."""
        if self.world_size > 1:
            dist.barrier()

    def mean(self, value: Tensor) -> Tensor:
        """The mean over workers, in place where there are several."""
        if self.world_size > 1:
            dist.all_reduce(value)
            value /= self.world_size
        return value

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """[B, P] of every worker -> [total, P] in rank order; gradients flow back.

        Shares are those of `share_bounds(total, rank, world_size)`.
        """
        if self.world_size == 1:
            return rows
        bounds = [share_bounds(total, rank, self.world_size) for rank in range(self.world_size)]
        longest = max(end - start for start, end in bounds)
        # The exchange takes equal shares only.
        gathered = _Gather.apply(
            F.pad(rows, (0, 0, 0, longest - len(rows))), self.rank, self.world_size
        )
        return torch.cat(
            [part[: end - start] for part, (start, end) in zip(gathered, bounds, strict=True)]
        )

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some worker: the same answer on all."""
        if self.world_size == 1:
            return flag
        found = torch.tensor([float(flag)])
        if dist.get_backend() == "nccl":
            found = found.cuda()
        dist.all_reduce(found)
        return bool(found.item() > 0)

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value on every worker."""
        if self.world_size == 1:
            return value
        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        return holder[0]

    def from_first(self, make: Callable[[Callable[[], None]], Value]) -> Value:
        """What rank 0 makes, on every worker; the others wait, however long that takes.

        `make` calls its argument often, at least once within the timeout of a collective. If it
        raises, the others wait until they time out or are killed.
        """
        if self.world_size == 1:
            return make(lambda: None)
        if self.rank == 0:
            made = make(self._sign_of_work())
            self.broadcast((True, made))
            return made
        while True:
            is_made, value = self.broadcast(None)
            if is_made:
                found: Value = value
                return found

    def _sign_of_work(self) -> Callable[[], None]:
        """Broadcasts to those that wait in `from_first`, if it is time to."""
        told_at = time.monotonic()

        def at_work() -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= _AT_WORK_EVERY_S:
                self.broadcast((False, None))
                told_at = time.monotonic()

        return at_work


class _Gather(torch.autograd.Function):
    """[B, P] -> [world_size, B, P]; backward sums what all workers' losses give for these rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, rank: int, world_size: int) -> Tensor:
        ctx.rank = rank
        gathered = [torch.empty_like(rows) for _ in range(world_size)]
        dist.all_gather(gathered, rows.contiguous())
        return torch.stack(gathered)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[ctx.rank], None, None
