"""What this machine reaches, by small measurements that know nothing of the network to plan.

Convolutions and linear layers of a few widths, a batch norm with ReLU, and the same at a size that
is all start-up. `predict` adds up a traced step with these. The clock is the process's CPU time on
a CPU (others may share the machine) and the wall, after a synchronise, on a GPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from mimic_ray.base.devices import Compute
from mimic_ray.planning.trace import Trace, Watch

# Channels in, out and side of the map of the convolutions measured: an image's three channels,
# then FLOPs alike, as in a ResNet.
_CONVOLUTIONS = ((3, 64, 32), (16, 16, 32), (64, 64, 16), (256, 256, 8))
# Features in and out of a block's first linear layer, from 48 of a toy to 384 of a ViT-Ti or -S.
_MATRICES = ((48, 192), (96, 384), (384, 1536))
# How a ViT cuts images: channels out, side of a patch and of an image, images.
_PATCHES = ((32, 8, 32, 64), (192, 16, 224, 8))
_BATCH = 32
_TOKENS = 512
_DEPTH = 4
_KINDS = ("matrix", "convolution", "patches", "other")


@dataclass(frozen=True)
class Rates:
    """FLOP/s by width; bytes/s read and written by all that is neither product nor convolution."""

    device: str
    precision: str
    matrix_peak: float
    matrices: tuple[tuple[int, float], ...]  # (narrowest side, FLOP/s), forward and backward
    convolutions: tuple[tuple[int, float], ...]  # (channels, FLOP/s), forward and backward
    patches: tuple[tuple[int, float], ...]  # (channels out, FLOP/s), forward and backward
    bandwidth: float
    start_s: Mapping[str, float]  # seconds before an operation of a kind does any work


def at_width(points: Sequence[tuple[int, float]], width: int) -> float:
    """Between two measured widths in proportion of logarithms; the nearest beyond them."""
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


@cache  # a plan for this machine, its proposals and a calibration ask for the same
def measure(compute: Compute) -> Rates:
    """About five seconds on one core."""
    start_s = {kind: _start(kind, compute) for kind in _KINDS}
    convolutions = [
        (least, _rate(*_convolution(least, out, side, _BATCH, compute), compute, start_s).flops_s)
        for least, out, side in _CONVOLUTIONS
    ]
    patches = [
        (out, _rate(*_cut(out, patch, side, batch, compute), compute, start_s).flops_s)
        for out, patch, side, batch in _PATCHES
    ]
    matrices = [
        (least, _rate(*_linear(least, out, _TOKENS, compute), compute, start_s).flops_s)
        for least, out in _MATRICES
    ]
    return Rates(
        device=compute.device,
        precision=compute.precision,
        matrix_peak=_matrix_peak(compute),
        matrices=tuple(matrices),
        convolutions=tuple(convolutions),
        patches=tuple(patches),
        bandwidth=_rate(*_norm(32, 32, _BATCH, compute), compute, start_s).bytes_s,
        start_s=start_s,
    )


def predict(traced: Trace, rates: Rates) -> float:
    """Seconds of the traced step, its operations one after another.

    A GPU is told of operations ahead of their turn, so that starts hide behind the work, or the
    work behind them: the larger sum counts.
    """
    starts = working = 0.0
    for work in traced.work:
        starts += work.operations * rates.start_s[work.kind]
        if work.kind == "convolution":
            working += work.flops / at_width(rates.convolutions, work.width)
        elif work.kind == "patches":
            working += work.flops / at_width(rates.patches, work.width)
        elif work.kind == "matrix":
            working += work.flops / at_width(rates.matrices, work.width)
        else:
            working += work.bytes / rates.bandwidth
    return starts + working if rates.device == "cpu" else max(starts, working)


@dataclass(frozen=True)
class _Rate:
    flops_s: float
    bytes_s: float


def _rate(layer: nn.Module, given: Tensor, compute: Compute, start_s: Mapping[str, float]) -> _Rate:
    """Of a layer, forward and backward, its starts taken off."""
    both = _both(layer, given, compute)
    taken = seconds(both, compute.torch_device)
    watch = Watch()
    with watch:
        both()
    work = watch.summary()
    taken -= min(0.9 * taken, sum(w.operations * start_s[w.kind] for w in work))
    return _Rate(sum(w.flops for w in work) / taken, sum(w.bytes for w in work) / taken)


def _start(kind: str, compute: Compute) -> float:
    """Seconds an operation, of a layer that has next to no work; many, as the clock ticks."""
    small = {
        "matrix": _linear(16, 16, 16, compute),
        "convolution": _convolution(3, 16, 4, 1, compute),
        "patches": _cut(16, 4, 8, 1, compute),
        "other": _norm(2, 4, 1, compute),
    }[kind]
    both = _both(*small, compute)
    watch = Watch()
    with watch:
        both()
    operations = sum(w.operations for w in watch.summary())
    rounds = 50

    def many() -> None:
        for _ in range(rounds):
            both()

    return seconds(many, compute.torch_device) / rounds / operations


def _both(layer: nn.Module, given: Tensor, compute: Compute) -> Callable[[], None]:
    """The layer forward and backward."""
    with compute.autocast():
        ones = torch.ones_like(layer(given))

    def both() -> None:
        with compute.autocast():
            out = layer(given)
        out.backward(ones)

    return both


def _deep(layers: Sequence[nn.Module]) -> nn.Module:
    """The layers several times over: as in a network, a backward pass finds the caches cold."""
    return nn.Sequential(*(deepcopy(layer) for _ in range(_DEPTH) for layer in layers))


def _convolution(
    channels: int, out: int, side: int, batch: int, compute: Compute
) -> tuple[nn.Module, Tensor]:
    pair = [nn.Conv2d(*ends, 3, padding=1) for ends in ((channels, out), (out, channels))]
    return _placed(_deep(pair), torch.rand(batch, channels, side, side), compute)


def _cut(out: int, patch: int, side: int, batch: int, compute: Compute) -> tuple[nn.Module, Tensor]:
    """Not channels last: a ViT has no other convolution that would gain by it."""
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
    """Channels last, as networks of convolutions lie."""
    layer = layer.to(compute.torch_device).to(memory_format=torch.channels_last)
    maps = maps.to(compute.torch_device).contiguous(memory_format=torch.channels_last)
    return layer, maps.requires_grad_()


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
