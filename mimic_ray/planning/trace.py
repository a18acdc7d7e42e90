"""What one step costs, counted on fake tensors (torch's meta kernels): nothing is computed.

Each operation of the true step is seen with its shapes: its FLOPs (2 for a multiply-add, by
torch.utils.flop_counter), the bytes that it reads and writes, and what it leaves in memory.
Not seen: what a kernel allocates for itself and gives back, and fragmentation.
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
    """Operations of one kind: "matrix", "convolution", "patches" (kernels that do not overlap, as a
    ViT cuts an image) or "other"."""

    kind: str
    width: int  # of a convolution: channels that one output value reads, or that read one input;
    # of patches: channels out; of a product: the narrowest side of its matrices
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
    teacher_flops: int  # none where its answers are known
    student_flops: int  # all views, forward and backward
    traffic: int
    work: tuple[Work, ...]
    activations: int  # alive when the backward pass starts
    views: int
    gradients: int
    workspace: int  # beyond these at the peak of a step whose gradients have room from the start
    peak_alone: int  # one device: gradients come while activations go

    @property
    def flops(self) -> int:
        return self.teacher_flops + self.student_flops


def trace(
    name: str, recipe: Recipe, batch: int, precision: str = "fp32", recorded: bool = False
) -> Trace:
    """Counts a step of `batch` images of the encoder called `name`.

    `recorded`: the teacher's answers are known, so that a step does not ask it.
    """
    compute = Compute("cpu", "bf16" if precision == "bf16" else "fp32", 1)
    student, teacher = _shapes_only(name), _shapes_only(name)
    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        _fill(student)
        _fill(teacher)
        step = make_step(student, teacher, recipe, batch, compute, fake=True)
        forward, watch = Watch(), Watch()
        with forward:
            output = step.teacher_output()
        step.recorded = output if recorded else None
        with watch:
            step.take(watch.enter)
        return _summary(step, forward, watch, batch)


def _shapes_only(name: str) -> Encoder:
    """The encoder without memory for its weights, where its code allows that."""
    try:
        with torch.device("meta"):
            return encoder_registry.build(name)
    except Exception:  # code that wants to see its numbers; what is truly wrong comes again
        return encoder_registry.build(name)


def _fill(encoder: Encoder) -> None:
    """Fake CPU tensors in place of all weights: kernels are then chosen as on a real device."""
    for module in encoder.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype)
                module._parameters[name] = nn.Parameter(empty, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


class Watch(TorchDispatchMode):
    """Work and memory events of what runs inside it, by part of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[int, int]] = []  # (number of a storage, bytes more or less)
        self.work: dict[str, dict[tuple[str, int], list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0, 0, 0])
        )
        self.marks: dict[str, int] = {}
        self._numbers: dict[int, int] = {}
        self._known: set[int] = set()
        self._next = 0
        self._part = "teacher"

    def enter(self, done: str) -> None:
        """Hears that a part is over."""
        self.marks[done] = len(self.events)
        order = ["teacher", "forward", "backward", "optimiser", "optimiser"]
        self._part = order[order.index(done) + 1]

    def number(self, tensor: Tensor) -> int | None:
        """Of the storage, if it was made inside and lives."""
        return self._numbers.get(tensor.untyped_storage()._cdata)

    def summary(self) -> tuple[Work, ...]:
        """Of all parts together."""
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
        made = [t for t in outputs if t.untyped_storage()._cdata not in before]
        for tensor in made:
            self._born(tensor)
        if made or func._schema.is_mutable:
            self._count(func, args, kwargs, out, inputs, outputs)
        return out

    def _born(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address, size = storage._cdata, storage.nbytes()
        if address in self._numbers or size == 0:
            return
        number, self._next = self._next, self._next + 1
        self._numbers[address] = number
        self.events.append((number, size))
        weakref.finalize(storage, self._gone, address, number, size)

    def _gone(self, address: int, number: int, size: int) -> None:
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
        # An operation on a list, as of the optimiser, is told of each of its tensors.
        entry[2] += len(args[0]) if args and isinstance(args[0], list | tuple) else 1


def _bytes(tensor: Tensor) -> int:
    """Of the values, not of a larger storage or a broadcast."""
    strides = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(n for n, stride in strides if stride) * tensor.element_size()


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _summary(step: Step, forward: Watch, watch: Watch, batch: int) -> Trace:
    parameters = list(step.student.parameters())
    gradients = [p.grad for p in parameters if p.grad is not None]
    of_gradients = {watch.number(g) for g in gradients}
    alive: dict[int, int] = {}
    for number, size in watch.events[: watch.marks["forward"]]:
        alive[number] = alive.get(number, 0) + size
    activations = sum(alive.values())
    now = now_alone = peak = peak_alone = 0
    for number, size in watch.events[: watch.marks["backward"]]:
        now_alone += size
        now += 0 if number in of_gradients else size
        peak, peak_alone = max(peak, now), max(peak_alone, now_alone)
    parts = {part: sum(f for f, *_ in kinds.values()) for part, kinds in watch.work.items()}
    work = watch.summary()
    views = {t.untyped_storage()._cdata: _size([t]) for t in step.pair if t is not None}
    static = _size([*step.student.parameters(), *step.student.buffers()])
    teacher = _size([*step.teacher.parameters(), *step.teacher.buffers()])
    moments = _size(value for kept in step.optimiser.state.values() for value in kept.values())
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
