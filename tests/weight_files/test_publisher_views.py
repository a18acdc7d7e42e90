"""Each publisher's layout: the features of the publisher's computation, and the same file back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from mimic_ray.weight_files.layout import Layout
from mimic_ray.weight_files.publisher_views import key_views, known_names
from mimic_ray.weight_files.read import read_checkpoint
from mimic_ray.weight_files.resolve import fit
from mimic_ray.weight_files.tensor_info import TensorInfo
from mimic_ray.weight_files.write import write_like
from tests.encoders.published_vit import GRID, SIDE, WIDTH
from tests.weight_files.publisher_cases import CASES, tiny

NORM = ("running_mean", "running_var", "weight", "bias")


@pytest.mark.parametrize("name", CASES)
def test_features_and_export(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    torch.manual_seed(1)
    weights = case.vit.weights()
    file = case.stored(weights) | {key: torch.randn(shape) for key, shape in case.extra.items()}
    save_file(file, tmp_path / "file.safetensors")
    encoder = tiny(case.encoder).eval()
    found = fit(read_checkpoint(tmp_path / "file.safetensors"), encoder)
    encoder.net.load_state_dict(found.state)

    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = case.vit.features(weights, (images - encoder.mean) / encoder.std)
        torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-4)
        # Not by chance: another file has other features.
        assert (encoder(images) - encoder(images.flip(-1))).abs().max() > 0.01
    assert {*found.left_out} == {*case.extra}

    write_like(tmp_path / "file.safetensors", found, found.state, tmp_path / "same.safetensors")
    same = load_file(tmp_path / "same.safetensors")
    assert same.keys() == file.keys()
    assert all(torch.equal(same[key], file[key]) for key in file)

    # Every weight is written, each to its own key.
    changed = {key: value + 1 for key, value in encoder.net.state_dict().items()}
    write_like(tmp_path / "file.safetensors", found, changed, tmp_path / "new.safetensors")
    again = fit(read_checkpoint(tmp_path / "new.safetensors"), encoder)
    assert all(torch.equal(again.state[key], changed[key]) for key in changed)
    untouched = load_file(tmp_path / "new.safetensors")
    assert all(torch.equal(untouched[key], file[key]) for key in case.extra)


@pytest.mark.parametrize("name", ["Hugging Face SigLIP", "DINOv3", "Hugging Face ViT"])
def test_both_copies_of_a_torch_file_in_half_precision_are_written(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    one = {key: value.half() for key, value in case.stored(case.vit.weights()).items()}
    two = {key: value.clone() for key, value in one.items()}
    torch.save({"student": one, "teacher": two, "epoch": 3}, tmp_path / "file.pth")
    encoder = tiny(case.encoder)
    found = fit(read_checkpoint(tmp_path / "file.pth"), encoder)
    assert (found.group, found.also_fits[0].split(",")[0]) == (("teacher",), "student")
    changed = {key: value.half().float() + 1 for key, value in found.state.items()}
    write_like(tmp_path / "file.pth", found, changed, tmp_path / "new.pth", all_copies=True)
    new = torch.load(tmp_path / "new.pth", weights_only=True)
    assert new["epoch"] == 3
    for copy in ("student", "teacher"):
        torch.save(new[copy], tmp_path / "alone.pth")
        again = fit(read_checkpoint(tmp_path / "alone.pth"), encoder).state
        for key, value in changed.items():
            assert torch.equal(again[key], value.half().float()), key
    # The masked bias of the keys is not the encoder's.
    assert name != "DINOv3" or new["student"]["blocks.0.attn.qkv.bias"][WIDTH] == 7


@pytest.mark.filterwarnings("ignore::mimic_ray.base.assumptions.AssumptionWarning")
def test_the_encoder_of_i_jepa_is_read_and_its_predictor_is_left_alone(tmp_path: Path) -> None:
    case = CASES["I-JEPA"]
    whole = case.stored(case.vit.weights())
    predictor = {"module.predictor_blocks.0.norm1.weight": torch.ones(3)}
    target = {key: value + 1 for key, value in whole.items()}
    content = {"encoder": whole, "predictor": predictor, "target_encoder": target, "epoch": 300}
    torch.save(content, tmp_path / "jepa.pth.tar")
    found = fit(read_checkpoint(tmp_path / "jepa.pth.tar"), tiny(case.encoder))
    assert (found.group, found.prefix) == (("encoder",), "module.")
    assert found.also_fits == ["target_encoder, keys module.*"]
    changed = {key: value + 2 for key, value in found.state.items()}
    write_like(tmp_path / "jepa.pth.tar", found, changed, tmp_path / "new.pth.tar")
    new = torch.load(tmp_path / "new.pth.tar", weights_only=True)
    assert all(torch.equal(new["encoder"][key], whole[key] + 2) for key in whole)
    assert all(torch.equal(new["target_encoder"][key], target[key]) for key in target)
    assert torch.equal(new["predictor"][next(iter(predictor))], torch.ones(3))


@pytest.mark.parametrize("name", ["Hugging Face SigLIP", "Hugging Face CLIP"])
def test_positions_for_another_size_keep_the_publishers_shape(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    file = case.stored(case.vit.weights())
    save_file(file, tmp_path / "file.safetensors")
    encoder = tiny(case.encoder, side=2 * SIDE)
    encoder.spec = replace(encoder.spec, name=f"{case.encoder}@{2 * SIDE}")
    found = fit(read_checkpoint(tmp_path / "file.safetensors"), encoder)
    encoder.net.load_state_dict(found.state)
    write_like(tmp_path / "file.safetensors", found, found.state, tmp_path / "new.safetensors")
    written = load_file(tmp_path / "new.safetensors")
    table = "vision_model.embeddings.position_embedding.weight"
    rows = len(case.vit.tokens) + (2 * GRID) ** 2
    assert [key for key in file if written[key].shape != file[key].shape] == [table]
    assert written[table].shape == (rows, WIDTH)


def test_moco_v3_with_a_convolutional_stem() -> None:
    """The stem against plain torch; the rest is the transformer of the cases."""
    from mimic_ray.encoders import vit_variants

    net = vit_variants.ConvVit(
        img_size=SIDE, patch_size=16, embed_dim=WIDTH, depth=1, num_heads=4, num_classes=0
    ).eval()
    state = net.state_dict()
    strides = {key: value for key, value in state.items() if key.startswith("patch_embed.proj")}
    assert [strides[f"patch_embed.proj.{n}.weight"].shape[0] for n in (0, 3, 6, 9, 12)] == [
        *(WIDTH // 8, WIDTH // 4, WIDTH // 2, WIDTH, WIDTH)
    ]
    x = images = torch.rand(2, 3, SIDE, SIDE)
    with torch.no_grad():
        for n in (0, 3, 6, 9):
            w = {kind: strides.get(f"patch_embed.proj.{n + 1}.{kind}") for kind in NORM}
            x = F.conv2d(x, strides[f"patch_embed.proj.{n}.weight"], stride=2, padding=1)
            x = F.batch_norm(x, w["running_mean"], w["running_var"], w["weight"], w["bias"]).relu()
        x = F.conv2d(x, strides["patch_embed.proj.12.weight"], strides["patch_embed.proj.12.bias"])
        torch.testing.assert_close(net.patch_embed(images), x.flatten(2).transpose(1, 2))
        assert net(images).shape == (2, WIDTH)


def layout(*keys: str, shape: tuple[int, ...] = (4, 4)) -> Layout:
    infos = {key: TensorInfo(shape, "float32") for key in keys}
    return Layout(Path("suspect.pt"), "0" * 64, "torch-zip", {(): infos}, {})


def test_a_file_with_other_names_is_viewed_as_it_is_alone() -> None:
    assert len(key_views(layout("layer1.0.conv1.weight", "fc.weight"))) == 1


def test_the_publisher_of_an_unknown_size_is_known_by_its_names() -> None:
    found = layout("vision_model.embeddings.class_embedding", "text_model.final_layer_norm.bias")
    assert known_names(found) == ["Hugging Face CLIP"]
    assert known_names(layout("layer1.0.conv1.weight")) == []


def test_two_networks_with_one_publishers_names_are_both_translated() -> None:
    keys = [f"{prefix}.layer.0.layer_scale1.lambda1" for prefix in ("student", "teacher.encoder")]
    keys = [key.replace(".layer.", ".encoder.layer.") for key in keys]
    _, view = key_views(layout(*keys))
    assert [*view.files] == ["student.blocks.0.ls1.gamma", "teacher.encoder.blocks.0.ls1.gamma"]


def test_two_blocks_with_one_number_are_not_one_block() -> None:
    keys = [f"blocks.{chunk}.3.norm1.weight" for chunk in (0, 1)]
    _, view = key_views(layout(*keys))
    assert not [key for key in view.files if key.startswith("blocks.3.")]


def test_a_query_that_cannot_be_joined_with_its_key_is_shown_with_its_own_shape() -> None:
    parts = [f"encoder.layer.0.attention.attention.{part}.weight" for part in ("query", "key")]
    value = "encoder.layer.0.attention.attention.value.weight"
    found = layout(*parts, "encoder.layer.0.layernorm_before.weight")
    found.groups[()][value] = TensorInfo((4, 5), "float32")
    view = key_views(found)[1]
    assert view.info("blocks.0.attn.qkv.weight").shape == (4, 5)
    assert view.shown("", "blocks.0.attn.qkv.weight") == " + ".join([*parts, value])
    assert view.shown("", "blocks.7.mlp.fc1.bias") == "encoder.layer.7.intermediate.dense.bias"
