"""Checks that only plain, dense, finite tensors are accepted."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import (
    CheckpointError,
    DamagedCheckpointError,
)
from tests.encoders.checkpoint.crafted import refused, torch_bytes


def quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but files contain it
        return torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)


@pytest.mark.parametrize(
    "tensor",
    [torch.eye(2).to_sparse(), quantized(), torch.zeros(2, dtype=torch.complex64)],
    ids=["sparse", "quantized", "complex"],
)
def test_a_tensor_that_is_not_plain_is_refused_by_name(
    tmp_path: Path, tensor: torch.Tensor, request: pytest.FixtureRequest
) -> None:
    message = refused(torch_bytes({"layer.weight": tensor}), tmp_path, CheckpointError)
    assert '"layer.weight" is a' in message
    assert request.node.callspec.id in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_nan_and_infinity_are_refused_by_name(
    tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    tensor = torch.zeros(10, dtype=dtype)
    tensor[3] = value
    message = refused(torch_bytes({"model": {"fc.bias": tensor}}), tmp_path, DamagedCheckpointError)
    assert '"model.fc.bias" has NaN or infinity in 1 of 10 values' in message
