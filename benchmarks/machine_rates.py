"""Rates of this machine, measured on small layers that are independent of the network to predict.

The layers are convolutions and linear layers of a few widths, a batch norm with ReLU, and the same
so small that only the launch counts. `predict` adds up a traced step with these rates. The clock is
the CPU time of the process on a CPU, and the wall clock after a synchronise on a GPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from mimic_ray.base.devices import Compute
from mimic_ray.planning.trace import OperationCounter, Trace

# Input channels, output channels and side of the map of the convolutions: three channels of an
# image, then equal FLOPs, as in a ResNet.
_CONVOLUTIONS = ((3, 64, 32), (16, 16, 32), (64, 64, 16), (256, 256, 8))
# Input and output features of a block's first linear layer, up to the 384 of a ViT-S.
_MATRICES = ((48, 192), (96, 384), (384, 1536))
# Patch embeddings of a ViT: output channels, side of a patch, side of an image, images.
_PATCHES = ((32, 8, 32, 64), (192, 16, 224, 8))
_BATCH = 32
_TOKENS = 512
_DEPTH = 4
_KINDS = ("matrix", "convolution", "patches", "other")


@dataclass(frozen=True)
class Rates:
    """FLOP/s by width of products and convolutions; bytes/s read and written by anything else."""

    device: str
    precision: str
    matrix_peak: float
    matrices: tuple[tuple[int, float], ...]  # (narrowest side, FLOP/s), forward and backward
    convolutions: tuple[tuple[int, float], ...]  # (channels, FLOP/s), forward and backward
    patches: tuple[tuple[int, float], ...]  # (channels out, FLOP/s), forward and backward
    bandwidth: float
    launch_s: Mapping[str, float]  # seconds to launch an operation of a kind


def at_width(points: Sequence[tuple[int, float]], width: int) -> float:
    """Log-log interpolation between measured widths; the nearest value outside them."""
    if width <= points[0][0]:
        return points[0][1]
    for (low, slow), (high, fast) in pairwise(points):
        if width <= high:
            share = math.log(width / low) / math.log(high / low)
            return slow * (fast / slow) ** share
    return points[-1][1]


def seconds(work: Callable[[], object], device: torch.device, rounds: int = 5) -> float:
    """Median time of `work` after one warm-up round."""
    taken = []
    for _ in range(rounds + 1):
        _synchronise(device)
        start = _now(device)
        work()
        _synchronise(device)
        taken.append(_now(device) - start)
    return sorted(taken[1:])[rounds // 2]


def measure_rates(compute: Compute) -> Rates:
    """Takes about five seconds on one core."""
    launch_s = {kind: _launch(kind, compute) for kind in _KINDS}
    convolutions = [
        (least, _rate(*_convolution(least, out, side, _BATCH, compute), compute, launch_s).flops_s)
        for least, out, side in _CONVOLUTIONS
    ]
    patches = [
        (out, _rate(*_patches(out, patch, side, batch, compute), compute, launch_s).flops_s)
        for out, patch, side, batch in _PATCHES
    ]
    matrices = [
        (least, _rate(*_linear(least, out, _TOKENS, compute), compute, launch_s).flops_s)
        for least, out in _MATRICES
    ]
    return Rates(
        device=compute.device,
        precision=compute.precision,
        matrix_peak=_matrix_peak(compute),
        matrices=tuple(matrices),
        convolutions=tuple(convolutions),
        patches=tuple(patches),
        bandwidth=_rate(*_norm(32, 32, _BATCH, compute), compute, launch_s).bytes_s,
        launch_s=launch_s,
    )


def predict(traced: Trace, rates: Rates) -> float:
    """Seconds of the traced step.

    A CPU runs one operation after another. On a GPU launches and work overlap, so the larger of the
    two sums counts.
    """
    launches = working = 0.0
    for work in traced.work:
        launches += work.operations * rates.launch_s[work.kind]
        if work.kind == "convolution":
            working += work.flops / at_width(rates.convolutions, work.width)
        elif work.kind == "patches":
            working += work.flops / at_width(rates.patches, work.width)
        elif work.kind == "matrix":
            working += work.flops / at_width(rates.matrices, work.width)
        else:
            working += work.bytes / rates.bandwidth
    return launches + working if rates.device == "cpu" else max(launches, working)


@dataclass(frozen=True)
class _Rate:
    flops_s: float
    bytes_s: float


def _rate(
    layer: nn.Module, inputs: Tensor, compute: Compute, launch_s: Mapping[str, float]
) -> _Rate:
    """Of a layer, forward and backward, without its launches."""
    both = _forward_backward(layer, inputs, compute)
    taken = seconds(both, compute.torch_device)
    counter = OperationCounter()
    with counter:
        both()
    work = counter.summary()
    taken -= min(0.9 * taken, sum(w.operations * launch_s[w.kind] for w in work))
    return _Rate(sum(w.flops for w in work) / taken, sum(w.bytes for w in work) / taken)


def _launch(kind: str, compute: Compute) -> float:
    """Seconds per operation of a layer with almost no work, repeated to exceed the clock's tick."""
    small = {
        "matrix": _linear(16, 16, 16, compute),
        "convolution": _convolution(3, 16, 4, 1, compute),
        "patches": _patches(16, 4, 8, 1, compute),
        "other": _norm(2, 4, 1, compute),
    }[kind]
    both = _forward_backward(*small, compute)
    counter = OperationCounter()
    with counter:
        both()
    operations = sum(w.operations for w in counter.summary())
    rounds = 50

    def many() -> None:
        for _ in range(rounds):
            both()

    return seconds(many, compute.torch_device) / rounds / operations


def _forward_backward(layer: nn.Module, inputs: Tensor, compute: Compute) -> Callable[[], None]:
    with compute.autocast():
        ones = torch.ones_like(layer(inputs))

    def both() -> None:
        with compute.autocast():
            out = layer(inputs)
        out.backward(ones)

    return both


def _deep(layers: Sequence[nn.Module]) -> nn.Module:
    """The layers repeated, so that caches are cold in the backward pass, as in a network."""
    return nn.Sequential(*(deepcopy(layer) for _ in range(_DEPTH) for layer in layers))


def _convolution(
    channels: int, out: int, side: int, batch: int, compute: Compute
) -> tuple[nn.Module, Tensor]:
    pair = [nn.Conv2d(*ends, 3, padding=1) for ends in ((channels, out), (out, channels))]
    return _placed(_deep(pair), torch.rand(batch, channels, side, side), compute)


def _patches(
    out: int, patch: int, side: int, batch: int, compute: Compute
) -> tuple[nn.Module, Tensor]:
    """Contiguous, because a ViT has no other convolution that gains from channels last."""
    images = torch.rand(batch, 3, side, side, device=compute.torch_device)
    return nn.Conv2d(3, out, patch, patch).to(images), images.requires_grad_()


def _norm(channels: int, side: int, batch: int, compute: Compute) -> tuple[nn.Module, Tensor]:
    return _placed(
        _deep([nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]),
        torch.rand(batch, channels, side, side),
        compute,
    )


def _linear(features: int, out: int, tokens: int, compute: Compute) -> tuple[nn.Module, Tensor]:
    pair = [nn.Linear(features, out), nn.Linear(out, features)]
    return _deep(pair).to(compute.torch_device), torch.rand(
        tokens, features, device=compute.torch_device
    ).requires_grad_()


def _placed(layer: nn.Module, maps: Tensor, compute: Compute) -> tuple[nn.Module, Tensor]:
    """In channels last, as convolutional networks run."""
    layer = layer.to(compute.torch_device).to(memory_format=torch.channels_last)
    maps = maps.to(compute.torch_device).contiguous(memory_format=torch.channels_last)
    return layer, maps.requires_grad_()


def _matrix_peak(compute: Compute) -> float:
    """FLOP/s of a large product in the precision of the run."""
    side = 8192 if compute.torch_device.type == "cuda" else 1024
    dtype = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    left = torch.rand(side, side, device=compute.torch_device, dtype=dtype)
    return 2 * side**3 / seconds(lambda: left @ left, compute.torch_device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _now(device: torch.device) -> float:
    return time.process_time() if device.type == "cpu" else time.perf_counter()
