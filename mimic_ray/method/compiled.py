"""torch.compile for the encoders: student and teacher each on their own, unit by unit.

Units of a kind share one compiled program, so a network of 24 equal blocks is compiled once. What
shards or checkpoints a unit stays outside of its program. Shapes are fixed: every step has the
same batch.
"""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from typing import Any

import torch
from torch import nn

from mimic_ray.encoders.blocks import blocks
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.synchronised_norm import Synchronised

_PROGRAMS_A_UNIT = 6


def missing_compiler() -> str:
    """Why this machine cannot compile, as a sentence; "" if it can."""
    compilers = [os.environ.get("CXX", ""), "g++", "clang++", "c++"]
    if any(name and shutil.which(name) for name in compilers):
        return ""
    return (
        "training.compile is on and this machine has no C++ compiler (g++, clang++ or $CXX), so "
        "the encoders ran uncompiled: the same result, but slower."
    )


def compile_encoder(encoder: Encoder) -> int:
    """Compiles the repeated units of `encoder` in place and returns how many there are.

    Names of parameters stay. The first step takes minutes: nothing is compiled before it runs.
    """
    units = blocks(encoder)
    # Programs are kept by the units' class, at most 8 by default, and what needs a ninth runs
    # uncompiled. A ResNet has one for each shape, for student and teacher, forward and again.
    dynamo: Any = import_module("torch._dynamo.config")
    dynamo.recompile_limit = max(dynamo.recompile_limit, _PROGRAMS_A_UNIT * len(units))
    for unit in units:
        for module in unit.modules():
            if isinstance(module, Synchronised | nn.SyncBatchNorm):
                # An exchange between processes cannot be part of a compiled program.
                _replace_forward(module, torch.compiler.disable(module.forward))
        _replace_forward(unit, torch.compile(unit.forward, dynamic=False))
    return len(units)


def _replace_forward(module: nn.Module, forward: object) -> None:
    # Not `module.compile()`, which compiles the call of the module: FSDP's hooks and the
    # checkpoint around `forward` would become part of the program.
    module.forward = forward  # type: ignore[assignment]
