"""Files in the layouts of DINOv2, DINO and OpenCLIP, with random values under their key names.

timm's converter defines the meaning of the keys.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mimic_ray.base.errors import WrongEncoderError
from mimic_ray.encoders import encoder_registry
from mimic_ray.weight_files.load import load_checkpoint

WIDTH, DEPTH = 384, 12


def transformer(patch: int, positions: int) -> dict[str, Tensor]:
    """A ViT-S in the layout of timm, which DINO and DINOv2 use."""
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, positions, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, patch, patch),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for block in range(DEPTH):
        for part, rows, columns in (
            ("attn.qkv", 3 * WIDTH, WIDTH),
            ("attn.proj", WIDTH, WIDTH),
            ("mlp.fc1", 4 * WIDTH, WIDTH),
            ("mlp.fc2", WIDTH, 4 * WIDTH),
        ):
            shapes[f"blocks.{block}.{part}.weight"] = (rows, columns)
            shapes[f"blocks.{block}.{part}.bias"] = (rows,)
        for norm in ("norm1", "norm2"):
            shapes[f"blocks.{block}.{norm}.weight"] = (WIDTH,)
            shapes[f"blocks.{block}.{norm}.bias"] = (WIDTH,)
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def dinov2() -> dict[str, Tensor]:
    """The published file: 37 x 37 patches, layer scales, and an unused mask token."""
    state = transformer(patch=14, positions=1 + 37**2) | {"mask_token": torch.zeros(1, WIDTH)}
    scales = [f"blocks.{block}.ls{part}.gamma" for block in range(DEPTH) for part in (1, 2)]
    return state | {key: torch.full((WIDTH,), 0.1) for key in scales}


@pytest.mark.parametrize("name", ["dinov2_s14", "dinov2_s14@224"])
def test_dinov2_loads_at_its_default_size_and_at_224_as_in_timm(tmp_path: Path, name: str) -> None:
    from timm.models.vision_transformer import checkpoint_filter_fn as as_timm_loads

    torch.save(dinov2(), tmp_path / "dinov2_vits14_pretrain.pth")
    loaded = load_checkpoint(tmp_path / "dinov2_vits14_pretrain.pth", name)
    expected = as_timm_loads(dinov2(), loaded.encoder.net)
    for key, value in loaded.encoder.net.state_dict().items():
        torch.testing.assert_close(value, expected[key])
    assert loaded.fit.left_out == ["mask_token"]
    assert [note.count("518 pixels") for note in loaded.fit.notes] == [1] * ("@" in name)


def test_a_training_checkpoint_of_dinov2_gives_its_teacher(tmp_path: Path) -> None:
    state = {f"backbone.{key}": value for key, value in dinov2().items()}
    state["dino_head.mlp.0.weight"] = torch.zeros(2, 2)
    torch.save({"teacher": state}, tmp_path / "teacher_checkpoint.pth")
    loaded = load_checkpoint(tmp_path / "teacher_checkpoint.pth", "dinov2_s14")
    assert (loaded.fit.group, loaded.fit.prefix) == (("teacher",), "backbone.")


@pytest.mark.filterwarnings("ignore::mimic_ray.base.assumptions.AssumptionWarning")
def test_a_dino_checkpoint_with_both_networks_gives_the_teacher(tmp_path: Path) -> None:
    net = transformer(patch=16, positions=1 + 14**2)
    student = {f"module.backbone.{key}": value for key, value in net.items()}
    teacher = {f"backbone.{key}": value + 1 for key, value in net.items()}
    torch.save({"student": student, "teacher": teacher, "epoch": 800}, tmp_path / "dino.pth")
    loaded = load_checkpoint(tmp_path / "dino.pth", "dino_s16")
    assert torch.equal(loaded.encoder.net.cls_token, net["cls_token"] + 1)


def test_register_tokens_under_the_keys_of_dinov2_are_refused_by_name(tmp_path: Path) -> None:
    """Its layout has positions already added to the class token, so renaming keys is not enough."""
    state = dinov2() | {"register_tokens": torch.zeros(1, 4, WIDTH)}
    torch.save(state, tmp_path / "reg4.pth")
    with pytest.raises(WrongEncoderError) as caught:
        load_checkpoint(tmp_path / "reg4.pth", "vit_small_patch14_reg4_dinov2")
    assert '"reg_token" is missing' in caught.value.message


def test_the_timm_tower_of_openclip_loads_with_its_prefix(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    name = "vit_xsmall_patch16_clip_224"
    net = timm.create_model(name, pretrained=False, num_classes=0)
    state = {f"visual.trunk.{key}": value for key, value in net.state_dict().items()}
    state["visual.head.proj.weight"] = torch.zeros(512, 256)
    state["text.token_embedding.weight"] = torch.zeros(4, 8)
    save_file(state, tmp_path / "open_clip.safetensors")
    loaded = load_checkpoint(tmp_path / "open_clip.safetensors", f"{name}@64")
    assert loaded.fit.prefix == "visual.trunk."
    assert "are for 224 pixels (14 x 14 patches)" in loaded.fit.notes[0]
    features = loaded.encoder(torch.rand(1, 3, 64, 64))
    assert features.shape == (1, 256)
    assert encoder_registry.build(f"{name}@64").spec.mean[0] == pytest.approx(0.48145466)
