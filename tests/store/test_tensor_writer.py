"""The files are read by the safetensors library, and their checksums are those of their bytes."""

from __future__ import annotations

import hashlib

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mimic_ray.store import tensor_writer
from mimic_ray.store.tensor_writer import write_hashed, write_tensors


@pytest.mark.parametrize(("least", "most"), [(1 << 20, 16 << 20), (0, 7), (20, 25)])
def test_the_library_reads_every_type_and_shape(tmp_path, monkeypatch, least, most):
    monkeypatch.setattr(tensor_writer, "_LEAST_WRITE", least)
    monkeypatch.setattr(tensor_writer, "_MOST_WRITE", most)
    tied = torch.randn(4, 3)
    tensors = {
        "flags": torch.tensor([True, False, True]),
        "half": torch.randn(3).bfloat16(),
        "double": torch.randn(2, 2, dtype=torch.float64),
        "scalar": torch.tensor(2.5),
        "none": torch.empty(0, 3),
        "strided": tied.T,
        "tied": tied,
        "part": tied[1:3],
        "count": torch.tensor([2**62, -1]),
        "schlüssel": torch.ones(1, 3, 2, 2).to(memory_format=torch.channels_last),
    }
    facts = write_tensors(tensors, tmp_path / "x.safetensors")
    read = load_file(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    content = (tmp_path / "x.safetensors").read_bytes()
    assert facts == (len(content), hashlib.sha256(content).hexdigest())
    with safe_open(tmp_path / "x.safetensors", "pt") as file:  # also checks offsets
        assert set(file.keys()) == set(tensors)


def test_a_type_that_the_format_lacks_is_named(tmp_path):
    with pytest.raises(TypeError, match="wave has the type"):
        write_tensors({"wave": torch.zeros(2, dtype=torch.complex64)}, tmp_path / "x")


def test_parts_are_written_in_order(tmp_path):
    facts = write_hashed([b"ab", memoryview(b"cd")], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcd"
    assert facts == (4, hashlib.sha256(b"abcd").hexdigest())
