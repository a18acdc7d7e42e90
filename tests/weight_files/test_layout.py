"""The layout of a file equals that of the complete checkpoint, and needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.base.errors import NotACheckpointError
from mimic_ray.weight_files.layout import read_layout
from mimic_ray.weight_files.read import read_checkpoint

TENSORS = {
    "a.weight": torch.zeros(2, 3, dtype=torch.float16),
    "a.count": torch.zeros((), dtype=torch.int64),
    "b": torch.zeros(0, 4, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_the_layout_equals_that_of_the_complete_checkpoint(tmp_path, kind):
    path = tmp_path / "file"
    if kind == "safetensors":
        save_file(TENSORS, path, {"note": "x"})
    else:
        content = {"epoch": 3, "model": {"net": TENSORS}, "other": {"w": torch.ones(2)}}
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    found = read_layout(path)
    assert found == read_checkpoint(path).layout()
    infos = next(group for path, group in found.groups.items() if path != ("other",))
    assert infos["a.weight"].shape == (2, 3)
    assert infos["a.weight"].is_float
    assert infos["b"].is_float
    assert not infos["a.count"].is_float
    assert (infos["a.weight"].numbers, infos["a.count"].numbers, infos["b"].numbers) == (6, 1, 0)


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "file")
    with pytest.raises(NotACheckpointError, match="no named tensors"):
        read_layout(tmp_path / "file")


def test_inspecting_a_torch_file_does_not_import_torch_in_this_process(tmp_path):
    from mimic_ray.encoders.encoder_registry import build

    torch.save(build("tiny_resnet").net.state_dict(), tmp_path / "net.pth")
    program = f"""
import sys, mimic_ray
found = mimic_ray.inspect({str(tmp_path / "net.pth")!r})
print([match.encoder for match in found.fits], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "['tiny_resnet'] False\n", done.stderr
