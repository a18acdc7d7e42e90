"""Student and teacher sharded over the workers (FSDP2).

For encoders whose parameters, gradients and optimiser states do not fit on one device. Each block
of the encoder is gathered when it runs and released afterwards, forward and backward. The numbers
are those of `Replicated`: parameters are communicated in float32, and autocast converts them to
bf16 where they are used, as it does there.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard

from mimic_ray.encoders.blocks import blocks
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.strategy import Forward
from mimic_ray.method.student import Student


class Sharded:
    """Shards the student, and with `teacher` the teacher, which costs a gather in each step."""

    def __init__(self, device: torch.device, teacher: bool = False) -> None:
        self._teacher = teacher
        self._mesh: DeviceMesh = init_device_mesh(device.type, (dist.get_world_size(),))

    def wrap_student(self, student: Student, parts: int) -> Forward:  # noqa: ARG002
        self._shard(student, student.encoder, keep_gathered=True)
        return student

    def wrap_teacher(self, teacher: Encoder) -> None:
        if self._teacher:
            self._shard(teacher, teacher, keep_gathered=False)

    def without_sync(self, forward: Forward) -> AbstractContextManager[object]:  # noqa: ARG002
        # Full gradients of the student do not fit on a device, so each is reduced at once.
        return nullcontext()

    def full_tensor(self, value: Tensor) -> Tensor:
        """On the CPU of rank 0; empty on other workers. All of them must call it."""
        if not isinstance(value, DTensor):
            return value
        full = value.full_tensor()
        return full.cpu() if dist.get_rank() == 0 else full.new_empty(0, device="cpu")

    def local_part(self, value: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor) or value.shape != like.shape:
            return value
        # The file that all workers read is mapped into memory, so each reads only its own rows.
        (sharded,) = like.placements
        assert isinstance(sharded, Shard)
        rows = value.chunk(self._mesh.size(), sharded.dim)
        rank = dist.get_rank()
        own = rows[rank] if rank < len(rows) else value.narrow(sharded.dim, 0, 0)
        return DTensor.from_local(
            own.to(like.device).clone(memory_format=torch.contiguous_format),
            like.device_mesh,
            like.placements,
            shape=value.shape,
            stride=like.stride(),
        )

    def _shard(self, root: nn.Module, encoder: Encoder, keep_gathered: bool) -> None:
        for parameter in root.parameters():
            # FSDP shards rows of contiguous memory, which channels-last weights do not have.
            parameter.data = parameter.data.contiguous()
        for block in blocks(encoder):
            fully_shard(block, mesh=self._mesh)
        # What is in no block is needed again at the end of the backward pass, but only there.
        fully_shard(root, mesh=self._mesh, reshard_after_forward=not keep_gathered)
