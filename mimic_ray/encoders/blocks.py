"""The repeated blocks of an encoder, which are sharded, compiled or recomputed one at a time.

Each family declares them in `Spec.blocks`. A user's own encoder may leave them out: then they are
found by structure, as the members of a list of modules of one class that each have several parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mimic_ray.encoders.encoder import Encoder


def blocks(encoder: Encoder) -> list[nn.Module]:
    """The blocks in the order of the network, none nested in another; [] if nothing repeats."""
    if encoder.spec.blocks:
        return [
            module
            for name, module in encoder.net.named_modules()
            if any(_matches(name, pattern) for pattern in encoder.spec.blocks)
        ]
    return list(repeated_modules(encoder.net))


def _matches(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def repeated_modules(module: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a network that declares none, by structure."""
    children = list(module.children())
    if isinstance(module, nn.Sequential | nn.ModuleList) and _alike(children):
        yield from children
        return
    for child in children:
        yield from repeated_modules(child)


def _alike(modules: list[nn.Module]) -> bool:
    have_parts = all(any(True for _ in module.children()) for module in modules)
    containers = any(isinstance(m, nn.Sequential | nn.ModuleList) for m in modules)
    return len({type(m) for m in modules}) == 1 and have_parts and not containers


def checkpoint_activations(encoder: Encoder) -> int:
    """Saves only the input of each block and recomputes the rest in the backward pass: one more
    forward, less memory, the same result. In place; returns the number of blocks."""
    # torch's checkpoint_wrapper would rename the parameters (`_checkpoint_wrapped_module` in
    # `named_parameters`), and DDP, FSDP and the optimiser's state go by these names. An attribute
    # of the instance keeps them, and hooks of the module run around it.
    units = blocks(encoder)
    for unit in units:
        unit.forward = partial(_checkpointed, unit, unit.forward)
    return len(units)


def _checkpointed(unit: nn.Module, forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(unit)

    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=contexts, **named)


@contextmanager
def _frozen_statistics(unit: nn.Module) -> Iterator[None]:
    """Keeps the recomputation of a batch from updating running statistics a second time.

    They are still passed to the kernel, because both forwards must save the same tensors.
    """
    norms = [m for m in unit.modules() if isinstance(m, _BatchNorm) and m.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        count = norm.num_batches_tracked  # torch's SyncBatchNorm must have one
        norm.momentum, norm.num_batches_tracked = 0.0, None if count is None else count.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
