"""Depthwise convolutions in float32 where autocast would run them in bf16 on a CPU.

oneDNN has no fast backward pass for them in bf16: in an EfficientNet-Lite0 they took more than half
of a training step. They have few weights, and the pointwise convolutions between them, which have
most of the arithmetic, stay in bf16. Ratios of a step: docs/measurements/speed_cpu_2026-11.md.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn

# Autocast is a state of the thread, and so is having left it.
_thread = threading.local()


def keep_in_float32(net: nn.Module) -> None:
    """Registers hooks on every depthwise Conv2d of a network. They act under autocast on a CPU.

    Hooks, because they survive a copy of the network, run again where activations are recomputed,
    and leave the names of the parameters as they are. Compiled blocks run without them.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and _is_depthwise(module) and not _is_kept(module):
            module.register_forward_pre_hook(_leave_autocast)
            module.register_forward_hook(_return_to_autocast, always_call=True)


def _is_depthwise(module: nn.Conv2d) -> bool:
    return module.groups == module.in_channels > 1


def _is_kept(module: nn.Module) -> bool:
    return _leave_autocast in module._forward_pre_hooks.values()


def _leave_autocast(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if torch.compiler.is_compiling() or inputs[0].device.type != "cpu":
        return None
    if not torch.is_autocast_enabled("cpu"):
        return None
    torch.set_autocast_enabled("cpu", False)
    _thread.left = True
    return tuple(value.float() for value in inputs)


def _return_to_autocast(*_: Any) -> None:
    if not torch.compiler.is_compiling() and getattr(_thread, "left", False):
        torch.set_autocast_enabled("cpu", True)
        _thread.left = False
