"""Batch norm over the images of all workers, so that two workers learn what one would.

Each worker sums its own share; one exchange a layer forward and one backward join the sums:

    forward    mean_r, M2_r = sum (x - mean_r)^2, n_r of worker r  ->  mean, variance of all n
    backward   sum of dy and of dy * x_hat over all workers

On CUDA, plain norms become torch's SyncBatchNorm, which does the same in fused kernels. It runs on
CUDA only and would replace a subclass by a plain norm; so the one of this file takes over on other
devices, and for subclasses such as timm's norms with an activation. It works for any module that
calls `torch.nn.functional.batch_norm`. Shares may differ in size in both.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode


def synchronise(module: nn.Module, device: torch.device) -> int:
    """Lets every batch norm in `module` train on the global batch; returns how many there are.

    In place; names, parameters and buffers stay, so a state fits either kind.
    """
    count = 0
    for parent in list(module.modules()):
        for name, norm in parent.named_children():
            if not isinstance(norm, _BatchNorm):
                continue
            count += 1
            if uses_torch(norm, device):
                # Over the default process group, that of the run.
                setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(norm))
            else:
                kind = type(norm)
                norm.__class__ = type(f"Synchronised{kind.__name__}", (Synchronised, kind), {})
    return count


def uses_torch(norm: nn.Module, device: torch.device) -> bool:
    """Whether torch's SyncBatchNorm replaces the norm on that device."""
    return device.type == "cuda" and type(norm) in _PLAIN


_PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Synchronised(nn.Module):
    """Before the class of a batch norm: its forward with `F.batch_norm` exchanged for ours."""

    def forward(self, *inputs: Any) -> Any:
        with _OverAllWorkers():
            return super().forward(*inputs)


class _OverAllWorkers(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function is F.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _batch_norm(
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` with the statistics of all workers where it would take the batch's."""
    if not training:
        return F.batch_norm(images, running_mean, running_var, weight, bias, False, momentum, eps)
    out, mean, variance, images_seen = _Normalise.apply(images, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            # The running variance is the unbiased one, as everywhere in torch.
            unbiased = variance * (images_seen / (images_seen - 1).clamp_min(1))
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    result: Tensor = out
    return result


class _Normalise(torch.autograd.Function):
    """[B, C, ...] -> batch norm over all workers, mean and variance by channel, number of values.

    Each pass over the images is one of torch's fused kernels, which take bf16 and any layout. With
    the joint statistics given as running ones, these compute

        forward    y  = w x_hat + b
        backward   g  = w dy / sigma, and of this worker the sums of dy and of dy x_hat
                   dx = g - w / sigma (sum dy / n + x_hat sum(dy x_hat) / n), sums over all workers
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own, variances = torch.batch_norm_update_stats(images, None, None, 0.0)
        own, variances = own.float(), variances.float()
        n = own.new_full((1,), images.numel() / images.shape[1])
        # Means and deviations from them: sums of squares would cancel in float32.
        means, deviations, counts = _from_all(torch.cat([own, n * variances, n])).split(
            [len(own), len(own), 1], dim=1
        )
        total = counts.sum()
        mean = (means * counts).sum(dim=0) / total
        variance = (deviations + counts * (means - mean).square()).sum(dim=0) / total
        out = F.batch_norm(images, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(images, weight, mean, variance, total)
        ctx.mark_non_differentiable(mean, variance, total)
        ctx.eps, ctx.has_bias = eps, bias is not None
        return out, mean, variance, total

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        images, weight, mean, variance, total = ctx.saved_tensors
        back, along, plain = torch.ops.aten.native_batch_norm_backward(
            gradient, images, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([plain.float(), along.float()])
        dist.all_reduce(sums)
        factor = (variance + ctx.eps).rsqrt() / total
        if weight is not None:
            factor = factor * weight
        offset, slope = (sums.view(2, -1) * factor).unbind()
        common = F.batch_norm(images, mean, variance, slope, offset, False, 0.0, ctx.eps)
        return (
            back - common,
            None if weight is None else along.to(weight.dtype),
            plain if ctx.has_bias else None,
            None,
        )


def _from_all(values: Tensor) -> Tensor:
    """[K] of each worker -> [workers, K]."""
    gathered = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, values)
    return torch.stack(gathered)
