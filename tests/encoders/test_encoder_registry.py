from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mimic_ray.base.errors import UnknownNameError
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.aliases import TIMM_ALIASES


def test_listing_the_names_imports_no_torch() -> None:
    code = (
        "import sys; from mimic_ray.encoders.encoder_registry import names;"
        "assert len(names()) > 40;"
        "sys.exit(bool({'torch', 'timm', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_encoder_of_our_own_imports_neither_timm_nor_torchvision() -> None:
    code = (
        "import sys; from mimic_ray.encoders import encoder_registry as encoders;"
        "side = encoders.input_size('tiny_resnet');"
        "assert side == encoders.build('tiny_resnet').spec.input_size;"
        "sys.exit(bool({'timm', 'torchvision', 'torch._dynamo'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_list_has_every_registered_name_once() -> None:
    names = encoder_registry.names()
    assert len(names) == len(set(names)) == len(encoder_registry.ENCODERS) + len(TIMM_ALIASES)
    assert {
        *("simclr_resnet18", "simclr_resnet34", "simclr_resnet50"),
        *("cifar_resnet20", "cifar_resnet32", "cifar_resnet44", "cifar_resnet56"),
        *("resnet18", "resnet34", "resnet50", "resnet101", "vit_b16", "vit_s16", "vit_l16"),
        *("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14", "dinov2_s14", "dinov2_b14"),
        *("resnet18_cifar", "wrn28_10", "vgg_small", "badencoder_imagenet", "convnext_tiny"),
        *("clip_rn50", "clip_vit_b32", "clip_vit_b16", "tiny_resnet", "tiny_vit", "dino_s16"),
        *("clip_vit_l14", "openclip_vit_h14", "dinov2_s14_reg4", "dinov3_s16", "siglip_b16"),
        *("moco_vit_s16", "mae_b16_mean", "deit_s16_distilled", "deit_s16_distilled_class"),
    } <= set(names)


def test_every_torchvision_resnet_is_listed() -> None:
    import torchvision

    theirs = [
        name
        for name in torchvision.models.list_models(module=torchvision.models)
        if "resne" in name and "regnet" not in name
    ]
    assert len(theirs) >= 10
    assert set(theirs) <= set(encoder_registry.names())


@pytest.mark.parametrize("alias", TIMM_ALIASES)
def test_an_alias_is_a_model_of_timm(alias: str) -> None:
    from mimic_ray.encoders import timm_family

    assert timm_family.supports(TIMM_ALIASES[alias])


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("resnt50", "resnet50"),
        ("cifar-resnet20", "cifar_resnet20"),
        ("ViT_B16", "vit_b16"),
        ("clip_vitb32", "clip_vit_b32"),
        ("vit_base_patch16_244", "vit_base_patch16_224"),
        ("vit_small_patch16_224.dyno", "vit_small_patch16_224.dino"),
    ],
)
def test_a_wrong_name_raises_an_error_with_near_names(wrong: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        encoder_registry.build(wrong)
    assert near in caught.value.near
    assert f'There is no encoder "{wrong}"' in str(caught.value)
    assert "timm name" in str(caught.value)


def test_a_wildcard_raises_an_error_with_the_matches() -> None:
    with pytest.raises(UnknownNameError) as caught:
        encoder_registry.build("vit_small*dinov2")
    assert caught.value.near == ("vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2")


@pytest.mark.parametrize("name", ["", "efficientnet_b99", "hf-hub:someone/something", "convnext*"])
def test_an_unsupported_encoder_is_refused(name: str) -> None:
    with pytest.raises(UnknownNameError):
        encoder_registry.build(name)


def test_the_seed_determines_the_weights() -> None:
    def first_weight(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return next(encoder_registry.build("tiny_vit").net.parameters()).detach()

    assert torch.equal(first_weight(3), first_weight(3))
    assert not torch.equal(first_weight(3), first_weight(4))


@pytest.mark.parametrize(
    "name",
    ["tiny_resnet", "tiny_vit@64", "cifar_resnet20", "simclr_resnet18", "resnet18", "resnet18@96"],
)
def test_the_input_size_is_known_without_building_the_encoder(name: str) -> None:
    assert encoder_registry.input_size(name) == encoder_registry.build(name).spec.input_size


def test_the_input_size_of_an_unknown_name_raises_an_error_with_near_names() -> None:
    with pytest.raises(UnknownNameError, match="resnet18"):
        encoder_registry.input_size("resnet1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cifar_resnet20", True), ("clip_rn50@64", True), ("tiny_vit", False), ("vit_ti16@64", False)],
)
def test_whether_a_network_has_batch_norm(name: str, expected: bool) -> None:
    assert encoder_registry.has_batch_norm(name) == expected


def test_whether_a_users_network_has_batch_norm(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n"
        "from mimic_ray import Encoder, Spec\n"
        "def made(*layers):\n"
        "    half = (0.5, 0.5, 0.5)\n"
        "    spec = Spec('net', 4, 8, mean=half, std=half, taps=())\n"
        "    net = nn.Sequential(nn.Conv2d(3, 4, 3), *layers)\n"
        "    return Encoder(spec, net, lambda net, x, taps: (net(x).mean(dim=(2, 3)), {}))\n"
        "def with_norm():\n"
        "    return made(nn.BatchNorm2d(4))\n"
        "def without():\n"
        "    return made()\n"
    )
    assert encoder_registry.has_batch_norm(f"{file}:with_norm")
    assert not encoder_registry.has_batch_norm(f"{file}:without")


def test_the_registry_has_a_short_name():
    from mimic_ray import encoders
    from mimic_ray.encoders import encoder_registry, registry

    assert registry is encoder_registry
    with pytest.raises(AttributeError, match="has no attribute 'regstry'"):
        encoders.regstry  # noqa: B018
