"""Checkpoints that cannot be used."""

from __future__ import annotations

import zipfile

import pytest
import torch
from safetensors.torch import save_file

from mimic_ray.encoders import encoder_registry
from tests.cli.toy_images import truncated
from tests.weight_files import crafted


def net_state(name="tiny_resnet"):
    return encoder_registry.build(name).net.state_dict()


def zip_bomb():
    zeros = crafted.torch_bytes({"conv.weight": torch.zeros(4_000_000)})
    return crafted.rezipped(zeros, compression=zipfile.ZIP_DEFLATED)


def huge_safetensors():
    return crafted.safetensors_bytes({"conv.weight": crafted.entry([1 << 40], 0, 1 << 42)})


FILES = {
    "empty": (lambda: b"", ["empty"]),
    "truncated": (
        lambda: truncated(crafted.torch_bytes(net_state())),
        ["damaged", "again"],
    ),
    "web_page": (lambda: b"<!DOCTYPE html><html>Sign in</html>", ["web page"]),
    "lfs_pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        ["git-lfs pointer", "git lfs pull"],
    ),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), []),
    "zip_bomb": (zip_bomb, ["compressed"]),
    "huge_tensor": (
        lambda: crafted.torch_bytes({"conv.weight": crafted.view((1 << 40,), (1,))}),
        ["is damaged"],
    ),
    "huge_safetensors": (huge_safetensors, ["damaged safetensors"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_unusable_file_is_refused_with_its_name(purify_refused, tmp_path, kind):
    make, words = FILES[kind]
    path = tmp_path / "suspect.pth"
    path.write_bytes(make())
    purify_refused(["--teacher", path], path, *words, code=1)


def test_an_encoder_that_answers_nothing_is_refused(purify_refused, tmp_path):
    state = {k: torch.zeros_like(v) for k, v in net_state().items()}
    save_file(state, tmp_path / "constant.safetensors")
    words = ["gives all images the same feature, so there is nothing to purify"]
    purify_refused(["--teacher", tmp_path / "constant.safetensors"], *words, code=1)


def test_a_missing_checkpoint_is_named(purify_refused, tmp_path):
    purify_refused(["--teacher", tmp_path / "none.pth"], tmp_path / "none.pth", code=2)


def test_a_folder_as_checkpoint_is_refused(purify_refused, tmp_path):
    purify_refused(["--teacher", tmp_path], tmp_path, code=1)


def test_code_instead_of_weights_is_refused_and_not_run(purify_refused, tmp_path):
    path, canary = tmp_path / "suspect.pth", tmp_path / "canary"
    path.write_bytes(crafted.torch_bytes({"x": crafted.shell(canary)}))
    purify_refused(["--teacher", path], path, "system", code=1)
    assert not canary.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_with_their_key(purify_refused, tmp_path, value):
    state = net_state()
    state["conv1.weight"][0, 0, 0, 0] = value
    save_file(state, tmp_path / "suspect.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "suspect.safetensors"], "suspect.safetensors", "conv1.weight"
    )


def test_the_error_of_an_unknown_encoder_suggests_similar_names(purify_refused):
    purify_refused(["--encoder", "tiny_resnt"], '"tiny_resnt"', "tiny_resnet", code=2)


def test_the_error_of_a_wrong_encoder_names_the_encoder_that_fits(purify_refused, tmp_path):
    save_file(net_state(), tmp_path / "suspect.safetensors")
    options = ["--teacher", tmp_path / "suspect.safetensors", "--encoder", "cifar_resnet20"]
    purify_refused(options, "does not fit cifar_resnet20", "--encoder tiny_resnet", code=2)


def test_the_first_missing_key_is_named(purify_refused, tmp_path):
    state = net_state()
    first_half = dict(list(state.items())[: len(state) // 2])
    missing = list(state)[len(state) // 2 :]
    missing = next(key for key in missing if not key.endswith("num_batches_tracked"))
    save_file(first_half, tmp_path / "half.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "half.safetensors"],
        f'"{missing}" is missing',
        "mimic-ray inspect",
        code=2,
    )


def test_a_shape_that_differs_is_shown_with_the_expected_one(purify_refused, tmp_path):
    state = {
        key: torch.cat([value, value]) if value.ndim else value
        for key, value in net_state().items()
    }
    save_file(state, tmp_path / "wide.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "wide.safetensors"],
        '"conv1.weight" is [16, 3, 3, 3], expected [8, 3, 3, 3]',
        code=2,
    )


def test_a_transformer_for_another_image_size_is_recognised(purify_refused, tmp_path):
    state = net_state("tiny_vit")
    state["pos_embed"] = torch.zeros(1, 1 + 8 * 8, 32)
    save_file(state, tmp_path / "large.safetensors")
    purify_refused(
        ["--teacher", tmp_path / "large.safetensors", "--encoder", "tiny_vit"],
        "pos_embed",
        "another image size",
        code=2,
    )
