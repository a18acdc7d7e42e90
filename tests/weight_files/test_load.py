from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.base.errors import NotACheckpointError, UnknownNameError
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.load import load_checkpoint
from tests.weight_files.crafted import shell, torch_bytes


def test_weights_saved_with_a_prefix_compute_the_same_again(tmp_path: Path) -> None:
    original = encoder_registry.build("tiny_resnet").eval()
    state = {f"module.{key}": value for key, value in original.net.state_dict().items()}
    head = {"module.linear.weight": torch.zeros(10, 32), "module.linear.bias": torch.zeros(10)}
    path = tmp_path / "weights.pt"
    torch.save({"epoch": 3, "state_dict": state | head}, path)

    loaded = load_checkpoint(path, "tiny_resnet")

    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded.encoder(images), original(images))
    assert sorted(loaded.fit.left_out) == ["module.linear.bias", "module.linear.weight"]


def test_a_loaded_encoder_is_in_eval_mode_and_float32(tmp_path: Path) -> None:
    state = encoder_registry.build("tiny_vit").net.half().state_dict()
    save_file(state, tmp_path / "half.safetensors")
    encoder = load_checkpoint(tmp_path / "half.safetensors", "tiny_vit").encoder
    assert not any(module.training for module in encoder.modules())
    assert {(p.dtype, p.requires_grad) for p in encoder.parameters()} == {(torch.float32, False)}


def test_a_wrong_name_is_found_before_the_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        load_checkpoint(tmp_path / "missing.pt", "tiny_resnt")
    with pytest.raises(NotACheckpointError):
        load_checkpoint(tmp_path / "missing.pt", "tiny_resnet")


def test_what_the_file_would_call_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = encoder_registry.build("tiny_resnet").net.state_dict()
    torch.save(state, tmp_path / "clean.pt")
    (tmp_path / "harm.pt").write_bytes(torch_bytes({"net": state, "x": shell(tmp_path / "y")}))
    assert load_checkpoint(tmp_path / "clean.pt", "tiny_resnet").log_finding() == ""
    assert not caplog.messages
    said = load_checkpoint(tmp_path / "harm.pt", "tiny_resnet").log_finding()
    assert "harm.pt: Loading this file the ordinary way would call posix.system(" in said
    assert caplog.messages == [said]
