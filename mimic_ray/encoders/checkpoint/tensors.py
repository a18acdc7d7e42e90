"""Checks the tensors of an untrusted file: plain, dense, on the CPU, finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.encoders.positions import grids


def check_tensor(tensor: Tensor, key: str, name: str) -> int:
    """The tensor's size in bytes; `key` and the file's `name` are for messages.

    Raises UnsafeCheckpointError for a size that is not backed by memory, DamagedCheckpointError for
    NaN or infinity, CheckpointError for anything but a plain dense tensor.
    """
    # This check comes first, because the others need data.
    if tensor.device.type != "cpu":
        raise UnsafeCheckpointError(
            f'{name}: "{key}" is a {tensor.device.type} tensor of shape {_short(tensor)} without '
            "data. Ask its author for a file with the weights."
        )
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
        kind = (
            "quantized" if tensor.is_quantized else "complex" if tensor.is_complex() else "sparse"
        )
        raise CheckpointError(
            f'{name}: "{key}" is a {kind} tensor, and only plain dense ones are read: save it '
            "dense, in float32 or half precision."
        )
    size = tensor.numel() * tensor.element_size()
    if size > tensor.untyped_storage().nbytes() or _repeats(tensor):
        raise UnsafeCheckpointError(
            f'{name}: "{key}" claims shape {_short(tensor)} with '
            f"{tensor.untyped_storage().nbytes():,} bytes of data. Ask its author for the "
            "weights as contiguous tensors."
        )
    if tensor.is_floating_point() and not _is_finite(tensor):
        wrong = int((~torch.isfinite(tensor.float())).sum())
        raise DamagedCheckpointError(
            f'{name}: "{key}" has NaN or infinity in {wrong:,} of {tensor.numel():,} values. '
            "Use an earlier checkpoint of the same network."
        )
    return size


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
    check_tensor(cast, key, name)
    return cast


def savable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same values as safetensors accepts them: on the CPU, contiguous, not sharing memory."""
    ready: dict[str, Tensor] = {}
    storages: set[int] = set()
    for key, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        if own.untyped_storage().data_ptr() in storages:
            own = own.clone()
        storages.add(own.untyped_storage().data_ptr())
        ready[key] = own
    return ready


def _repeats(tensor: Tensor) -> bool:
    return any(
        stride == 0 and length > 1
        for stride, length in zip(tensor.stride(), tensor.shape, strict=True)
    )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.numel():
        return True
    # Minimum and maximum propagate NaN and, unlike isfinite(), need no second tensor.
    low, high = torch.aminmax(tensor.float() if tensor.element_size() == 1 else tensor)
    return math.isfinite(low) and math.isfinite(high)


def _short(tensor: Tensor) -> str:
    shape = [*tensor.shape]
    return str(shape) if len(shape) <= 8 else f"of {len(shape)} dimensions"
