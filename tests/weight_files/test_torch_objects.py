"""Tensors are found in a pickle as torch would build them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.weight_files.inert import TensorRef
from mimic_ray.weight_files.rewrite import _Builder
from tests.weight_files import crafted
from tests.weight_files.crafted import loaded, refused, torch_bytes

base = torch.arange(60, dtype=torch.float32)
DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.bool),
    *(torch.complex64, torch.complex128),
)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_are_those_that_torch_reads(tmp_path: Path, legacy: bool) -> None:
    original = {
        **{str(dtype): torch.tensor([0, 1, 1]).to(dtype) for dtype in DTYPES},
        "whole": base,
        "view": base[10:22].view(3, 4),
        "transposed": base.view(6, 10).t(),
        "step": base[1::7],
        "scalar": base[3],
        "empty": torch.zeros(0, 3),
        "channels": torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "expanded": torch.ones(1).expand(3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "frozen": torch.nn.Parameter(torch.ones(2), requires_grad=False),
        "wanted": torch.ones(2, requires_grad=True),
        "buffer": torch.nn.Buffer(torch.ones(2)),
    }
    content = loaded(torch_bytes(original, legacy), tmp_path)
    with (tmp_path / "loaded.pth").open("rb") as file:
        builder = _Builder(replace(content.storages, descriptor=file.fileno()))
        found = builder.build(dict(content.tree))
    for key, tensor in original.items():
        assert torch.equal(found[key], tensor), key
        assert (found[key].dtype, found[key].stride()) == (tensor.dtype, tensor.stride())
        assert found[key].requires_grad == tensor.requires_grad
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        assert isinstance(found[key], torch.nn.Parameter) == is_parameter
    views = [content.tree[key] for key in ("whole", "view", "transposed", "step")]
    assert len({ref.storage.key for ref in views}) == 1


def quantized() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but files contain it
        return torch.quantize_per_tensor(torch.ones(2, 3), 1.0, 0, torch.qint8)


def sparse_csr() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a beta
        return torch.eye(2).to_sparse_csr()


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (torch.eye(2).to_sparse(), "sparse"),
        (sparse_csr(), "sparse"),
        (quantized(), "quantized"),
        (torch.empty(2, 3, device="meta"), "meta"),
        (crafted.view((1 << 20, 1 << 20), (0, 0)), "repeated"),
    ],
)
def test_tensors_that_are_not_dense_are_described(
    tmp_path: Path, tensor: Tensor, kind: str
) -> None:
    found = loaded(torch_bytes({"weight": tensor}), tmp_path).tree["weight"]
    assert isinstance(found, TensorRef)
    assert found.kind == kind
    if isinstance(tensor, Tensor):
        assert found.shape == tuple(tensor.shape)


@pytest.mark.parametrize(
    "tensor",
    [
        crafted.view((100,), (1,)),
        crafted.view((-1,), (1,)),
        crafted.view((2,), (-1,)),
        crafted.view((2, 2), (1,)),
        crafted.view((2,), (1 << 62,)),
        crafted.view((3, 3), (2, 1)),
    ],
)
def test_views_that_exceed_their_storage_are_refused(tmp_path: Path, tensor: object) -> None:
    refused(torch_bytes({"w": tensor}), tmp_path, DamagedCheckpointError)
