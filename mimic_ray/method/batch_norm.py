"""Batch-norm statistics as the authors' step moves them.

Their step runs the student on view 1, on view 2, and on view 1 again to read its maps, always in
train mode: with momentum m the running statistics move by s(1), s(2), s(1). The third pass gives
the values and gradients of the first, so we leave it out and only repeat its update:

    r1 = (1-m) r0 + m s(1)      after view 1
    r3 = (1-m) r2 + m s(1)  =  (1-m) r2 + r1 - (1-m) r0
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics = list[tuple[Tensor, Tensor]]


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep running statistics."""
    found = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    return [m for m in found if m.running_mean is not None]


def read_statistics(norms: list[_BatchNorm]) -> Statistics:
    """Copies of (mean, variance) of each."""
    return [(_tensor(n.running_mean).clone(), _tensor(n.running_var).clone()) for n in norms]


@torch.no_grad()
def repeat_update(norms: list[_BatchNorm], before: Statistics, after: Statistics) -> None:
    """Moves the statistics once more by the batch that took them from `before` to `after`."""
    for norm, (mean_0, variance_0), (mean_1, variance_1) in zip(norms, before, after, strict=True):
        kept = 1 - (0.1 if norm.momentum is None else norm.momentum)
        # New tensors: autograd has the old ones saved and would notice a change in place.
        norm.running_mean = kept * (_tensor(norm.running_mean) - mean_0) + mean_1
        norm.running_var = kept * (_tensor(norm.running_var) - variance_0) + variance_1
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1


def _tensor(buffer: Tensor | None) -> Tensor:
    assert buffer is not None  # batch_norms() leaves out those without statistics
    return buffer
