"""What this machine reaches, by small measurements that know nothing of the network to plan.

Convolutions of three widths, a matrix product, element-wise kernels. `predict` adds up a traced
step with these rates. The clock is the process's CPU time on a CPU (others may share the machine)
and the wall, after a synchronise, on a GPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from mimic_ray.base.devices import Compute
from mimic_ray.planning.trace import Trace, Watch

# Channels and side of the map of the convolutions measured; FLOPs alike, as in a ResNet.
_CONVOLUTIONS = ((16, 32), (64, 16), (256, 8))
_BATCH = 32


@dataclass(frozen=True)
class Rates:
    """FLOP/s; bytes/s read and written by all that is neither product nor convolution."""

    device: str
    precision: str
    matrix_peak: float
    matrix: float  # of a transformer's linear layer, forward and backward
    convolutions: tuple[tuple[int, float], ...]  # (channels, FLOP/s), forward and backward
    bandwidth: float

    def convolution(self, width: int) -> float:
        """Between two measured widths in proportion of logarithms; the nearest beyond them."""
        points = self.convolutions
        if width <= points[0][0]:
            return points[0][1]
        for (low, slow), (high, fast) in pairwise(points):
            if width <= high:
                share = math.log(width / low) / math.log(high / low)
                return slow * (fast / slow) ** share
        return points[-1][1]


def seconds(work: Callable[[], object], device: torch.device, rounds: int = 5) -> float:
    """Median time of `work`, after one round that is thrown away."""
    taken = []
    for _ in range(rounds + 1):
        _synchronise(device)
        start = _now(device)
        work()
        _synchronise(device)
        taken.append(_now(device) - start)
    return sorted(taken[1:])[rounds // 2]


def measure(compute: Compute) -> Rates:
    """About ten seconds on one core."""
    device = compute.torch_device
    points = []
    for width, side in _CONVOLUTIONS:
        layer = nn.Conv2d(width, width, 3, padding=1, bias=False).to(device)
        layer = layer.to(memory_format=torch.channels_last)
        given = torch.rand(_BATCH, width, side, side, device=device)
        given = given.contiguous(memory_format=torch.channels_last).requires_grad_()
        points.append((width, _rate(layer, given, compute)[0]))
    linear = nn.Linear(384, 1536).to(device)
    tokens = torch.rand(_BATCH * 64, 384, device=device).requires_grad_()
    norm = nn.Sequential(nn.BatchNorm2d(32), nn.ReLU(inplace=True)).to(device)
    maps = torch.rand(_BATCH, 32, 32, 32, device=device)
    maps = maps.contiguous(memory_format=torch.channels_last).requires_grad_()
    return Rates(
        device=compute.device,
        precision=compute.precision,
        matrix_peak=_matrix_peak(compute),
        matrix=_rate(linear, tokens, compute)[0],
        convolutions=tuple(points),
        bandwidth=_rate(norm, maps, compute)[1],
    )


def predict(traced: Trace, rates: Rates) -> float:
    """Seconds of the traced step, its operations one after another."""
    total = 0.0
    for work in traced.work:
        if work.kind == "convolution":
            total += work.flops / rates.convolution(work.width)
        elif work.kind == "matrix":
            total += work.flops / rates.matrix
        else:
            total += work.bytes / rates.bandwidth
    return total


def _rate(layer: nn.Module, given: torch.Tensor, compute: Compute) -> tuple[float, float]:
    """FLOP/s and bytes/s of a layer, forward and backward."""

    def both() -> None:
        with compute.autocast():
            out = layer(given)
        out.backward(ones)

    with compute.autocast():
        ones = torch.ones_like(layer(given))
    taken = seconds(both, compute.torch_device)
    watch = Watch()
    with watch:
        both()
    flops = sum(f for kinds in watch.work.values() for f, _ in kinds.values())
    moved = sum(b for kinds in watch.work.values() for _, b in kinds.values())
    return flops / taken, moved / taken


def _matrix_peak(compute: Compute) -> float:
    """Of a large product in the precision of the run."""
    side = 8192 if compute.torch_device.type == "cuda" else 1024
    dtype = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    left = torch.rand(side, side, device=compute.torch_device, dtype=dtype)
    return 2 * side**3 / seconds(lambda: left @ left, compute.torch_device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _now(device: torch.device) -> float:
    return time.process_time() if device.type == "cpu" else time.perf_counter()
