"""How the student lies on its workers: alone, or a copy on each (DistributedDataParallel).

`sharding.py` has the third way, a part on each. All compute the same losses and the same steps,
and all give and take the same state: whole tensors under the plain names.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.student import Student, StudentOutput

Forward = Callable[..., StudentOutput]


class Strategy(Protocol):
    """What the loop asks of a strategy, in this order."""

    def place(self, student: Student, parts: int) -> Forward:
        """The forward that steps call, `parts` times each. Parameters may be other objects then."""
        ...

    def place_teacher(self, teacher: Encoder) -> None:
        """The teacher, frozen, where it will be asked."""
        ...

    def local(self, forward: Forward) -> AbstractContextManager[object]:
        """Inside it, a backward pass may leave its gradients with the worker for now."""
        ...

    def whole(self, value: Tensor) -> Tensor:
        """A parameter, or what an optimiser keeps of it, as rank 0 may write it down."""
        ...

    def part(self, value: Tensor, like: Tensor) -> Tensor:
        """The inverse of `whole`: what this worker keeps of `value`, laid out as `like`."""
        ...


class Alone:
    """One worker: everything as it is."""

    def place(self, student: Student, parts: int) -> Forward:  # noqa: ARG002
        return student

    def place_teacher(self, teacher: Encoder) -> None:
        """Nothing to do."""

    def local(self, forward: Forward) -> AbstractContextManager[object]:  # noqa: ARG002
        return nullcontext()

    def whole(self, value: Tensor) -> Tensor:
        return value

    def part(self, value: Tensor, like: Tensor) -> Tensor:
        if value.shape != like.shape or value.stride() == like.stride():
            return value
        # What was in parts comes back dense; the fused optimiser walks memory, not positions.
        return torch.empty_like(like, device=value.device, dtype=value.dtype).copy_(value)


class Replicated(Alone):
    """A copy on each worker; gradients are averaged while the backward pass runs."""

    def place(self, student: Student, parts: int) -> Forward:
        # Batch-norm statistics are equal where they are synchronised, else each worker's own, and
        # rank 0's are committed. An encoder may have parameters that its features do not use:
        # a static graph finds them once, but knows no backward pass that keeps its gradients.
        return DistributedDataParallel(
            student,
            broadcast_buffers=False,
            static_graph=parts == 1,
            find_unused_parameters=parts > 1,
            gradient_as_bucket_view=True,
        )

    def local(self, forward: Forward) -> AbstractContextManager[object]:
        assert isinstance(forward, DistributedDataParallel)
        return forward.no_sync()
