"""Untrusted safetensors files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    NotACheckpointError,
    TooLargeCheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.weight_files import safetensors_file
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.read import read_checkpoint
from tests.weight_files.crafted import entry, refused, safetensors_bytes, weights


def test_tensors_and_metadata_are_unchanged(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(save(weights(), {"format": "pt", "by": "me\x1b[2J"}))
    checkpoint = read_checkpoint(tmp_path / "file")
    assert checkpoint.format == "safetensors"
    assert checkpoint.notes == {"format": "pt", "by": "me\\x1b[2J"}
    assert all(torch.equal(checkpoint.groups[()][key], value) for key, value in weights().items())


def test_the_tensors_outlive_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(save(weights()))
    checkpoint = read_checkpoint(tmp_path / "file")
    with (tmp_path / "file").open("r+b") as file:
        file.truncate(0)  # would kill the process if the tensors were still mapped
    assert torch.equal(checkpoint.groups[()]["conv.bias"], weights()["conv.bias"])


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 200 << 20) + b"{}",
        struct.pack("<Q", 1000) + b"{}      ",
        safetensors_bytes({"w": entry([4], 0, 16)}, bytes(8)),
        safetensors_bytes({"w": entry([4], 0, 16)}, bytes(24)),
        safetensors_bytes({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
        safetensors_bytes({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        safetensors_bytes({"w": entry([1 << 40, 1 << 40], 0, 16)}, bytes(16)),
        safetensors_bytes({"w": entry([3], 0, 16)}, bytes(16)),
        safetensors_bytes({"w": entry([-4], 0, 16)}, bytes(16)),
        safetensors_bytes({"w": entry([4], 0, 16, "F33")}, bytes(16)),
        safetensors_bytes({"__metadata__": {"epoch": 3}, "w": entry([1], 0, 4)}, bytes(4)),
        safetensors_bytes(b'{"w": nonsense}'),
        safetensors_bytes(b'{"w":' * 200_000 + b"}" * 200_000),
        safetensors_bytes(b'{"w": "text"}'),
    ],
    ids=[
        "header-over-100-MB",
        "header-beyond-the-file",
        "data-short",
        "trailing-bytes",
        "hole",
        "overlap",
        "shape-overflow",
        "shape-mismatch",
        "negative-shape",
        "unknown-dtype",
        "metadata-not-text",
        "not-json",
        "deep-json",
        "no-entry",
    ],
)
def test_a_file_with_a_wrong_header_is_damaged(tmp_path: Path, content: bytes) -> None:
    refused(content, tmp_path, DamagedCheckpointError)


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_the_suffix_does_not_make_a_safetensors_file(tmp_path: Path, content: bytes) -> None:
    refused(content, tmp_path, NotACheckpointError)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_values_that_are_not_finite_are_counted(tmp_path: Path, value: float) -> None:
    path = tmp_path / "file"
    path.write_bytes(save({"good": torch.zeros(2), "bad": torch.tensor([1.0, value])}))
    infos = read_checkpoint(path).layout().groups[()]
    assert {key: info.not_finite for key, info in infos.items()} == {"good": 0, "bad": 1}
    assert read_layout(path).groups[()] == infos


def test_two_tensors_with_the_same_name_are_refused(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
    header += b'"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    message = refused(safetensors_bytes(header, bytes(8)), tmp_path, UnsafeCheckpointError)
    assert 'two tensors called "w"' in message


def test_a_tensor_without_elements_needs_no_memory(tmp_path: Path) -> None:
    header = {"w": entry([1 << 40, 0], 0, 0), "v": entry([1], 0, 4)}
    (tmp_path / "file").write_bytes(safetensors_bytes(header, bytes(4)))
    assert read_checkpoint(tmp_path / "file").groups[()]["w"].shape == (1 << 40, 0)


def test_more_than_a_hundred_thousand_tensors_are_refused(tmp_path: Path) -> None:
    header = {str(number): entry([0], 0, 0) for number in range(safetensors_file.TENSOR_LIMIT + 1)}
    message = refused(safetensors_bytes(header), tmp_path, TooLargeCheckpointError)
    assert "100,001 tensors" in message


def test_a_file_without_tensors_is_not_a_checkpoint(tmp_path: Path) -> None:
    content = safetensors_bytes({"__metadata__": {"format": "pt"}})
    refused(content, tmp_path, NotACheckpointError)


def test_a_file_larger_than_memory_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise RuntimeError("unable to mmap 70 GB: Cannot allocate memory (os error 12)")

    monkeypatch.setattr(safetensors_file, "safe_open", no_memory)
    assert "memory" in refused(save(weights()), tmp_path, TooLargeCheckpointError)
