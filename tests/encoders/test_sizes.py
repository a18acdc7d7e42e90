"""Encoders at other image sizes, and weights that are loaded into another size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mimic_ray.base.errors import UsageError, WrongEncoderError
from mimic_ray.encoders import encoder_registry, sizes
from mimic_ray.weight_files.key_match import fitting_encoders
from mimic_ray.weight_files.load import load_checkpoint
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.write import write_like

# name -> positions per side of the last map
LAST_MAP = {
    "tiny_resnet@48": 12,
    "tiny_vit@64": 8,
    "cifar_resnet20@64": 16,
    "simclr_resnet18@64": 8,
    "resnet50@96": 3,
    "resnet101@288": 9,
    "resnet152@64": 2,
    "vit_s16@96": 6,
    "vit_b16@384": 24,
    "vit_l16@512": 32,
    "vit_base_patch16_384@224": 14,
    "vit_b_16@384": 24,
    "clip_rn50@288": 9,
    "clip_vit_b16@336": 21,
    "vit_base_patch16_clip_224@384": 24,
    "dinov2_b14@224": 16,
    "vit_small_patch14_reg4_dinov2@224": 16,
    "dinov3_s16@128": 8,
    "beit_base_patch16_224@160": 10,
}


@pytest.mark.parametrize("name", LAST_MAP)
def test_the_size_in_the_name_is_the_size_of_the_input(name: str) -> None:
    side = int(name.rpartition("@")[2])
    with torch.device("meta"), torch.no_grad():
        encoder = encoder_registry.build(name)
        features, (tap,) = encoder(torch.rand(2, 3, side, side), encoder.spec.taps[-1:])
    assert (encoder.spec.name, encoder.spec.input_size) == (name, side)
    assert features.shape == (2, encoder.spec.feature_width)
    assert tap.shape[2:] == (LAST_MAP[name], LAST_MAP[name])


@pytest.mark.parametrize("name", encoder_registry.names())
def test_every_family_accepts_another_size(name: str) -> None:
    with torch.device("meta"):
        own = encoder_registry.build(name).spec.input_size
        step = 112 if own == 518 else 224 if own == 224 else 32
        other = encoder_registry.build(f"{name}@{2 * step}").spec
    assert other.input_size == 2 * step


@pytest.mark.parametrize(
    ("name", "patch", "valid"),
    [
        ("vit_b16@230", 16, "vit_b16@224 or vit_b16@240"),
        ("dinov2_s14@225", 14, "dinov2_s14@224 or dinov2_s14@238"),
        ("vit_l_32@250", 32, "vit_l_32@224 or vit_l_32@256"),
        ("clip_vit_b32@10", 32, "use clip_vit_b32@32."),
        ("clip_rn50@230", 32, "clip_rn50@224 or clip_rn50@256"),
        ("tiny_vit@33", 8, "tiny_vit@32 or tiny_vit@40"),
    ],
)
def test_a_size_that_is_not_a_multiple_of_the_patch_is_refused_with_valid_sizes(
    name: str, patch: int, valid: str
) -> None:
    with pytest.raises(UsageError) as caught:
        encoder_registry.build(name)
    assert f"patches of {patch} x {patch} pixels" in caught.value.message
    assert valid in caught.value.message


@pytest.mark.parametrize("name", ["vit_b16@", "vit_b16@large", "resnet50@-8", "resnet50@7", "@"])
def test_an_invalid_size_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not an image size"):
        encoder_registry.build(name)


def test_a_size_after_a_users_own_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only your function can set"):
        encoder_registry.build(f"{tmp_path}/net.py:encoder@64")


def weights(name: str, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return encoder_registry.build(name).net.state_dict()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Weights of tiny_vit for its default 32 pixels, with a prefix and a head."""
    state = {f"module.{key}": value for key, value in weights("tiny_vit").items()}
    state["module.head.weight"] = torch.ones(10, 32)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "small.pth")
    return tmp_path / "small.pth"


def test_weights_load_into_another_size_as_in_timm_with_a_note(small: Path) -> None:
    from timm.models.vision_transformer import checkpoint_filter_fn as as_timm_loads

    loaded = load_checkpoint(small, "tiny_vit@64")
    expected = as_timm_loads(weights("tiny_vit"), loaded.encoder.net)
    for key, value in loaded.encoder.net.state_dict().items():
        torch.testing.assert_close(value, expected[key], msg=key)
    (note,) = loaded.fit.notes
    assert '"module.pos_embed"' in note
    assert "are for 32 pixels (4 x 4 patches) and were interpolated to 64 (8 x 8)" in note
    assert loaded.encoder(torch.rand(2, 3, 64, 64)).shape == (2, 32)


def test_weights_of_the_same_size_are_not_interpolated(small: Path) -> None:
    loaded = load_checkpoint(small, "tiny_vit@32")
    assert loaded.fit.notes == loaded.fit.resized == []
    assert torch.equal(loaded.encoder.net.pos_embed, weights("tiny_vit")["pos_embed"])


def test_a_convolutional_network_loads_weights_of_any_size_without_a_note(tmp_path: Path) -> None:
    save_file(weights("tiny_resnet"), tmp_path / "net.safetensors")
    loaded = load_checkpoint(tmp_path / "net.safetensors", "tiny_resnet@48")
    assert loaded.fit.notes == []
    assert loaded.encoder(torch.rand(2, 3, 48, 48)).shape == (2, 32)


def test_without_a_size_in_the_name_the_error_offers_both_sizes(
    tmp_path: Path,
) -> None:
    save_file(weights("tiny_vit@64"), tmp_path / "large.safetensors")
    checkpoint = read_checkpoint(tmp_path / "large.safetensors")
    with pytest.raises(WrongEncoderError) as caught:
        fit(checkpoint, encoder_registry.build("tiny_vit"))
    assert (
        "another image size, 64 pixels: use encoder=tiny_vit@64, or tiny_vit@32 to "
        "interpolate the position embeddings." in caught.value.message
    )


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("tiny_vit@64", "tiny_vit@64"),
        ("vit_s16@384", "vit_s16@384"),
        ("dinov2_s14@224", "dinov2_s14@224"),
        ("vit_b_32@384", "vit_b_32@384"),
        ("clip_vit_b32@256", "clip_vit_b32@256"),
        ("clip_rn50@288", "clip_rn50@288"),
    ],
)
def test_inspect_proposes_the_size_of_the_position_embeddings(
    tmp_path: Path, name: str, proposed: str
) -> None:
    state = {key: value.half() for key, value in weights(name).items()}
    save_file(state, tmp_path / "net.safetensors")
    fits = fitting_encoders(read_checkpoint(tmp_path / "net.safetensors").layout())
    assert proposed in [found.encoder for found in fits]
    assert all(found.notes == [] and "@" in found.encoder for found in fits)


def test_an_export_has_the_students_position_embeddings_and_the_rest_of_the_file(
    small: Path, tmp_path: Path
) -> None:
    loaded = load_checkpoint(small, "tiny_vit@64")
    state = {key: value + 1 for key, value in loaded.encoder.net.state_dict().items()}
    write_like(small, loaded.fit, state, tmp_path / "out.pth")
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    assert written["epoch"] == 3
    assert torch.equal(written["state_dict"]["module.head.weight"], torch.ones(10, 32))
    assert torch.equal(written["state_dict"]["module.pos_embed"], state["pos_embed"])
    again = load_checkpoint(tmp_path / "out.pth", "tiny_vit@64")
    assert again.fit.notes == []


def test_a_safetensors_export_has_the_students_position_embeddings(tmp_path: Path) -> None:
    save_file(weights("tiny_vit"), tmp_path / "net.safetensors")
    loaded = load_checkpoint(tmp_path / "net.safetensors", "tiny_vit@64")
    state = loaded.encoder.net.state_dict()
    write_like(tmp_path / "net.safetensors", loaded.fit, state, tmp_path / "out.safetensors")
    written = load_file(tmp_path / "out.safetensors")
    assert torch.equal(written["pos_embed"], state["pos_embed"])


def test_names_are_split_and_joined() -> None:
    assert sizes.split("vit_b16@384") == ("vit_b16", 384)
    assert sizes.split("vit_b16") == ("vit_b16", None)
    assert sizes.joined("vit_b16@384", 224) == sizes.joined("vit_b16", 224) == "vit_b16@224"
    assert sizes.is_stated("vit_b16@384")
    assert not sizes.is_stated("vit_b16")
