"""How student and teacher are distributed over the workers: one worker, or a replica on each.

`sharding.py` has the third way, a shard on each. All compute the same losses and the same steps,
and all save and load the same state: full tensors under the plain names.
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
    """What the loop calls, in this order."""

    def wrap_student(self, student: Student, parts: int) -> Forward:
        """The forward that steps call, `parts` times each. Parameters may become other objects."""
        ...

    def wrap_teacher(self, teacher: Encoder) -> None:
        """Distributes the frozen teacher, in place."""
        ...

    def without_sync(self, forward: Forward) -> AbstractContextManager[object]:
        """Inside it, a backward pass need not reduce its gradients over the workers."""
        ...

    def full_tensor(self, value: Tensor) -> Tensor:
        """A parameter or its optimiser state, as rank 0 writes it."""
        ...

    def local_part(self, value: Tensor, like: Tensor) -> Tensor:
        """The inverse of `full_tensor`: this worker's part of `value`, in the layout of `like`."""
        ...


class SingleWorker:
    """One worker: nothing changes."""

    def wrap_student(self, student: Student, parts: int) -> Forward:  # noqa: ARG002
        return student

    def wrap_teacher(self, teacher: Encoder) -> None:
        """Nothing to do."""

    def without_sync(self, forward: Forward) -> AbstractContextManager[object]:  # noqa: ARG002
        return nullcontext()

    def full_tensor(self, value: Tensor) -> Tensor:
        return value

    def local_part(self, value: Tensor, like: Tensor) -> Tensor:
        if value.shape != like.shape or value.stride() == like.stride():
            return value
        # What was in parts comes back dense; the fused optimiser walks memory, not positions.
        return torch.empty_like(like, device=value.device, dtype=value.dtype).copy_(value)


class Replicated(SingleWorker):
    """A replica on each worker (DDP); gradients are averaged while the backward pass runs."""

    def wrap_student(self, student: Student, parts: int) -> Forward:
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

    def without_sync(self, forward: Forward) -> AbstractContextManager[object]:
        assert isinstance(forward, DistributedDataParallel)
        return forward.no_sync()
