"""A student, and a teacher, of which every worker keeps a part (FSDP2): for encoders whose
parameters, gradients and moments do not fit a device.

Each repeated unit of the encoder is gathered when it runs and let go afterwards, forward and
backward. The numbers are those of `Replicated`: parameters travel in float32, and autocast takes
them to bf16 where they are used, as it does there.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mimic_ray.encoders.blocks import blocks
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.strategy import Forward
from mimic_ray.method.student import Student


class Sharded:
    """Student in parts; the teacher too with `teacher`, which costs a gather of it each step."""

    def __init__(self, device: torch.device, teacher: bool = False) -> None:
        self._teacher = teacher
        self._mesh: DeviceMesh = init_device_mesh(device.type, (dist.get_world_size(),))

    def place(self, student: Student, parts: int) -> Forward:  # noqa: ARG002
        self._shard(student, student.encoder, keep_gathered=True)
        return student

    def place_teacher(self, teacher: Encoder) -> None:
        if self._teacher:
            self._shard(teacher, teacher, keep_gathered=False)

    def local(self, forward: Forward) -> AbstractContextManager[object]:  # noqa: ARG002
        # Gradients of the whole student are what did not fit: each part is reduced at once.
        return nullcontext()

    def whole(self, value: Tensor) -> Tensor:
        """On the CPU of rank 0; empty on other workers. All of them must call it."""
        if not isinstance(value, DTensor):
            return value
        full = value.full_tensor()
        return full.cpu() if dist.get_rank() == 0 else full.new_empty(0, device="cpu")

    def part(self, value: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor) or value.shape != like.shape:
            return value
        # Every worker read the same file, so each cuts its part without an exchange.
        whole = value.to(like.device).contiguous()
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)

    def _shard(self, root: nn.Module, encoder: Encoder, keep_gathered: bool) -> None:
        for parameter in root.parameters():
            # FSDP cuts rows out of memory and cannot do so with channels-last weights.
            parameter.data = parameter.data.contiguous()
        for block in blocks(encoder):
            fully_shard(block, mesh=self._mesh)
        # What is in no block is needed again at the end of the backward pass, but only there.
        fully_shard(root, mesh=self._mesh, reshard_after_forward=not keep_gathered)
