"""Checks the values of tensors, and prepares them for files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.encoders.positions import grids
from mimic_ray.weight_files.tensor_info import TensorInfo, infos, not_finite_message

K = TypeVar("K")


def not_finite(tensor: Tensor) -> int:
    """How many values are NaN or infinity."""
    if not tensor.is_floating_point() or _is_finite(tensor):
        return 0
    return int((~torch.isfinite(tensor.float())).sum())


def checked_infos(tensors: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    """Shapes and types of a state dict, with the number of values that are not finite."""
    return {
        key: replace(info, not_finite=not_finite(tensors[key]))
        for key, info in infos(tensors).items()
    }


def replacement(old: Tensor, new: Tensor, key: str, name: str, resized: bool = False) -> Tensor:
    """`new` in the precision of `old`, which it replaces in a file called `name`.

    `resized` position embeddings may have another number of rows.

    Raises DamagedCheckpointError if the shapes differ or `new` does not fit that precision.
    """
    same = old.shape == new.shape or (resized and grids(old.shape, new.shape) is not None)
    if not same:
        raise DamagedCheckpointError(
            f'{name} has changed since it was read ("{key}" is {_short(old)}, not {_short(new)}): '
            "restore the original file."
        )
    cast = new.detach().to(old.dtype)
    if wrong := not_finite(cast):
        raise DamagedCheckpointError(not_finite_message(name, key, wrong, cast.numel()))
    return cast


def savable(tensors: Mapping[K, Tensor]) -> dict[K, Tensor]:
    """The same values as safetensors accepts them: on the CPU, contiguous, not sharing memory."""
    ready: dict[K, Tensor] = {}
    storages: set[int] = set()
    for key, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        if own.untyped_storage().data_ptr() in storages:
            own = own.clone()
        storages.add(own.untyped_storage().data_ptr())
        ready[key] = own
    return ready


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.numel():
        return True
    # Minimum and maximum propagate NaN and, unlike isfinite(), need no second tensor.
    low, high = torch.aminmax(tensor.float() if tensor.element_size() == 1 else tensor)
    return math.isfinite(low) and math.isfinite(high)


def _short(tensor: Tensor) -> str:
    shape = [*tensor.shape]
    return str(shape) if len(shape) <= 8 else f"of {len(shape)} dimensions"
