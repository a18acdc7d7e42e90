"""The cost of one training step, counted on fake tensors without computing anything.

Every operation of the real step is recorded with its shapes: its FLOPs (2 per multiply-add, by
torch.utils.flop_counter), the bytes it reads and writes, and what it allocates and frees. Temporary
memory inside a kernel and fragmentation are not seen.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.blocks import blocks
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.recipe import Recipe
from mimic_ray.planning.traced_step import Step, make_step

_aten = torch.ops.aten
_CONVOLUTIONS = {_aten.convolution, _aten.convolution_backward, _aten._convolution}


@dataclass(frozen=True)
class Work:
    """Operations of one kind: "matrix", "convolution", "patches" (convolutions that do not overlap,
    as a ViT embeds patches) or "other"."""

    kind: str
    width: int  # convolution: the smaller of input and output channels; patches: output channels;
    # matrix: the smallest side of its factors
    flops: int
    bytes: int
    operations: int = 1


@dataclass(frozen=True)
class Trace:
    """One step of `batch` images on one device. Bytes, FLOPs."""

    batch: int
    student_parameters: int
    teacher_parameters: int
    parameter_bytes: int
    teacher_bytes: int
    largest_unit_bytes: int
    forward_flops: int  # of the encoder, one view
    teacher_flops: int  # 0 if its outputs are cached
    student_flops: int  # all views, forward and backward
    traffic: int
    work: tuple[Work, ...]
    activations: int  # allocated when the backward pass starts
    views: int
    gradients: int
    workspace: int  # additional bytes at the peak, if all gradients are allocated from the start
    peak_alone: int  # peak of one device, where gradients are allocated as activations are freed

    @property
    def flops(self) -> int:
        return self.teacher_flops + self.student_flops


def trace(
    name: str, recipe: Recipe, batch: int, precision: str = "fp32", teacher_cached: bool = False
) -> Trace:
    """Counts a step of `batch` images for the encoder called `name`.

    With `teacher_cached` the teacher's outputs are known, so it does not run in a step.
    """
    compute = Compute("cpu", "bf16" if precision == "bf16" else "fp32", 1)
    student, teacher = build_without_weights(name), build_without_weights(name)
    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        _fill(student)
        _fill(teacher)
        step = make_step(student, teacher, recipe, batch, compute, fake=True)
        forward, counter = OperationCounter(), OperationCounter()
        with forward:
            output = step.teacher_output()
        step.cached_output = output if teacher_cached else None
        with counter:
            step.take(counter.end_part)
        return _summary(step, forward, counter, batch)


def build_without_weights(name: str) -> Encoder:
    """The encoder on the meta device, without memory for its weights, if its code allows this."""
    try:
        with torch.device("meta"):
            return encoder_registry.build(name)
    except Exception:  # its code needs real values; any other error is raised again
        return encoder_registry.build(name)


def _fill(encoder: Encoder) -> None:
    """Replaces all weights by fake CPU tensors, so that kernels are chosen as on a real device."""
    for module in encoder.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype)
                module._parameters[name] = nn.Parameter(empty, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


class OperationCounter(TorchDispatchMode):
    """Counts the operations that run inside it, and their allocations, by part of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[int, int]] = []  # (number of a storage, bytes allocated or -freed)
        self.work: dict[str, dict[tuple[str, int], list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0, 0, 0])
        )
        self.ends: dict[str, int] = {}  # part -> number of events when it ended
        self._numbers: dict[int, int] = {}
        self._known: set[int] = set()
        self._next = 0
        self._part = "teacher"

    def end_part(self, done: str) -> None:
        """Ends the part `done`; later operations belong to the next one."""
        self.ends[done] = len(self.events)
        order = ["teacher", "forward", "backward", "optimiser", "optimiser"]
        self._part = order[order.index(done) + 1]

    def number(self, tensor: Tensor) -> int | None:
        """The number of its storage, if that was allocated inside and is not freed."""
        return self._numbers.get(tensor.untyped_storage()._cdata)

    def summary(self) -> tuple[Work, ...]:
        """The work of all parts."""
        merged: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        for kinds in self.work.values():
            for key, found in kinds.items():
                merged[key] = [a + b for a, b in zip(merged[key], found, strict=True)]
        return tuple(Work(*key, *found) for key, found in merged.items())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        before = {t.untyped_storage()._cdata for t in inputs}
        out = func(*args, **kwargs)
        outputs = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        new = [t for t in outputs if t.untyped_storage()._cdata not in before]
        for tensor in new:
            self._allocated(tensor)
        if new or func._schema.is_mutable:
            self._count(func, args, kwargs, out, inputs, outputs)
        return out

    def _allocated(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address, size = storage._cdata, storage.nbytes()
        if address in self._numbers or size == 0:
            return
        number, self._next = self._next, self._next + 1
        self._numbers[address] = number
        self.events.append((number, size))
        weakref.finalize(storage, self._freed, address, number, size)

    def _freed(self, address: int, number: int, size: int) -> None:
        self._numbers.pop(address, None)
        self.events.append((number, -size))

    def _count(
        self, func: Any, args: Any, kwargs: Any, out: Any, inputs: list[Tensor], outputs: Any
    ) -> None:
        packet, flops, kind, width = func._overloadpacket, 0, "other", 0
        if packet in flop_registry:
            flops, kind = int(flop_registry[packet](*args, **kwargs, out_val=out)), "matrix"
            if packet in _CONVOLUTIONS:
                weight = args[2] if packet is _aten.convolution_backward else args[1]
                kind, width = "convolution", min(weight.shape[0], weight.shape[1])
                stride = args[4] if packet is _aten.convolution_backward else args[3]
                if list(weight.shape[2:]) == list(stride) and stride[0] > 1:
                    kind, width = "patches", weight.shape[0]
            else:
                factors = [t for t in inputs if t.ndim > 1][:2]
                width = min(side for factor in factors for side in factor.shape[-2:])
        moved = sum(_bytes(t) for t in inputs) + sum(_bytes(t) for t in outputs)
        entry = self.work[self._part][kind, width]
        entry[0] += flops
        entry[1] += moved
        # An operation on a list, as in the optimizer, counts once per tensor.
        entry[2] += len(args[0]) if args and isinstance(args[0], list | tuple) else 1


def _bytes(tensor: Tensor) -> int:
    """Bytes of the distinct values, without the rest of a storage and without broadcasting."""
    strides = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(n for n, stride in strides if stride) * tensor.element_size()


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _summary(step: Step, forward: OperationCounter, counter: OperationCounter, batch: int) -> Trace:
    parameters = list(step.student.parameters())
    gradients = [p.grad for p in parameters if p.grad is not None]
    of_gradients = {counter.number(g) for g in gradients}
    allocated: dict[int, int] = {}
    for number, size in counter.events[: counter.ends["forward"]]:
        allocated[number] = allocated.get(number, 0) + size
    activations = sum(allocated.values())
    now = now_alone = peak = peak_alone = 0
    for number, size in counter.events[: counter.ends["backward"]]:
        now_alone += size
        now += 0 if number in of_gradients else size
        peak, peak_alone = max(peak, now), max(peak_alone, now_alone)
    parts = {part: sum(f for f, *_ in kinds.values()) for part, kinds in counter.work.items()}
    work = counter.summary()
    views = {t.untyped_storage()._cdata: _size([t]) for t in step.pair if t is not None}
    static = _size([*step.student.parameters(), *step.student.buffers()])
    teacher = _size([*step.teacher.parameters(), *step.teacher.buffers()])
    moments = _size(value for state in step.optimiser.state.values() for value in state.values())
    resting = static + teacher + moments + sum(views.values())
    units = [_size(unit.parameters()) for unit in blocks(step.student.encoder)]
    return Trace(
        batch=batch,
        student_parameters=sum(p.numel() for p in parameters),
        teacher_parameters=sum(p.numel() for p in step.teacher.parameters()),
        parameter_bytes=static,
        teacher_bytes=teacher,
        largest_unit_bytes=max(units, default=static),
        forward_flops=sum(each.flops for each in forward.summary()),
        teacher_flops=parts.get("teacher", 0),
        student_flops=parts["forward"] + parts["backward"],
        traffic=sum(each.bytes for each in work),
        work=work,
        activations=activations,
        views=sum(views.values()),
        gradients=_size(gradients),
        workspace=max(0, peak - activations),
        peak_alone=resting + max(peak_alone, _size(gradients)),
    )
