"""The repeated units of an encoder: what is sharded, compiled or recomputed as one piece.

They are found by what networks of every family have in common: a list of modules of one class,
each made of several parts; the blocks of a transformer, the residual units of a ResNet's layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mimic_ray.encoders.encoder import Encoder


def blocks(encoder: Encoder) -> list[nn.Module]:
    """The units in the order in which they run, none inside another; [] where none repeat."""
    return list(_units(encoder.net))


def _units(module: nn.Module) -> Iterator[nn.Module]:
    children = list(module.children())
    if isinstance(module, nn.Sequential | nn.ModuleList) and _alike(children):
        yield from children
        return
    for child in children:
        yield from _units(child)


def _alike(modules: list[nn.Module]) -> bool:
    made_of_parts = all(any(True for _ in module.children()) for module in modules)
    containers = any(isinstance(m, nn.Sequential | nn.ModuleList) for m in modules)
    return len({type(m) for m in modules}) == 1 and made_of_parts and not containers


def checkpoint_activations(encoder: Encoder) -> int:
    """Keeps, of each unit, what goes into it, and computes the rest again when its gradient is
    due: one more forward, less memory, the same result. In place; returns the number of units."""
    units = blocks(encoder)
    for unit in units:
        unit.forward = partial(_checkpointed, unit, unit.forward)
    return len(units)


def _checkpointed(unit: nn.Module, forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(unit)

    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **named)


@contextmanager
def _statistics_kept(unit: nn.Module) -> Iterator[None]:
    """The second forward of a batch must not move running statistics once more.

    They are still handed to the kernel, since both forwards must save the same tensors.
    """
    norms = [m for m in unit.modules() if isinstance(m, _BatchNorm) and m.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
