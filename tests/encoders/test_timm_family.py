from __future__ import annotations

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.traits import Traits


def test_timms_resnet50_equals_torchvisions() -> None:
    import torchvision

    theirs = torchvision.models.resnet50(weights=None).eval()
    theirs.fc = torch.nn.Identity()
    ours = encoder_registry.build("resnet50@64").eval()
    ours.net.load_state_dict(theirs.state_dict())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features, maps = ours(images, ["layer4"])
        expected = theirs((images - ours.mean) / ours.std)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features, maps[0].mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)


def test_the_map_of_a_transformer_has_each_patch_at_its_position() -> None:
    encoder = encoder_registry.build("tiny_vit").eval()
    image = torch.rand(1, 3, 32, 32)
    other = image.clone()
    other[..., 8:16, 24:32] = 0.0  # the patch in row 1, column 3
    # Attention is switched off, so a patch can only change its own position.
    for block in encoder.net.blocks:
        torch.nn.init.zeros_(block.attn.proj.weight)
    with torch.no_grad():
        (before,), (after,) = encoder(image, ["block2"])[1], encoder(other, ["block2"])[1]
    changed = (before - after).abs().sum(dim=1)[0] > 1e-6
    assert changed.nonzero().tolist() == [[1, 3]]


def test_register_tokens_are_not_in_the_map() -> None:
    with torch.device("meta"):
        encoder = encoder_registry.build("vit_small_patch14_reg4_dinov2")
        _, (tap,) = encoder(torch.rand(1, 3, 518, 518), ["block0"])
    assert tap.shape == (1, 384, 37, 37)


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("vit_small_patch16_224.dino", 0.485),
        ("vit_small_patch16_224.augreg_in21k", 0.5),
        ("vit_base_patch16_clip_224.openai", 0.48145466),
    ],
)
def test_a_tag_selects_the_statistics(name: str, mean: float) -> None:
    with torch.device("meta"):
        assert encoder_registry.build(name).spec.mean[0] == mean


def test_the_feature_is_that_of_timm_without_a_classifier() -> None:
    import timm

    torch.manual_seed(0)
    theirs = timm.create_model("test_vit", pretrained=False, num_classes=10).eval()
    ours = encoder_registry.build("test_vit").eval()
    ours.net.load_state_dict(theirs.state_dict(), strict=False)
    side = ours.spec.input_size
    images = torch.rand(2, 3, side, side)
    with torch.no_grad():
        logits = theirs((images - ours.mean) / ours.std)
        torch.testing.assert_close(theirs.head(ours(images, ["block0"])[0]), logits)


def test_copied_and_pickled_encoders_give_the_same_features() -> None:
    encoder = encoder_registry.build("tiny_vit").eval()
    images = torch.rand(2, 3, 32, 32)
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(twin(images, ["block1"])[1][0], encoder(images, ["block1"])[1][0])


@pytest.mark.parametrize(
    "name", ["convnext_atto", "mobilenetv3_small_050", "efficientnet_lite0", "regnetx_002"]
)
def test_the_feature_of_a_network_with_stages_is_the_same_with_its_maps(name: str) -> None:
    torch.manual_seed(0)
    encoder = encoder_registry.build(f"{name}@64").eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features, maps = encoder(images, encoder.spec.taps)
        torch.testing.assert_close(features, encoder(images))
    assert [64 // tap.shape[-1] for tap in maps] == [4, 8, 16, 32]


def test_a_network_for_one_size_is_refused_at_another_by_name() -> None:
    with pytest.raises(UsageError, match="cannot be built for 230 pixels: use crossvit_9_240@240"):
        encoder_registry.build("crossvit_9_240@230")


@pytest.mark.slow
def test_every_name_builds_and_declares_its_shapes() -> None:
    from mimic_ray.encoders import timm_family

    for name in timm_family.names():
        with torch.device("meta"):
            encoder = encoder_registry.build(name)
            side = encoder.spec.input_size
            features, maps = encoder(torch.rand(2, 3, side, side), encoder.spec.taps)
        assert features.shape == (2, encoder.spec.feature_width), name
        assert all(tap.ndim == 4 and tap.shape[2] == tap.shape[3] for tap in maps), name


def test_the_traits_are_those_of_the_network():
    import timm
    from timm.models.vision_transformer import VisionTransformer

    from mimic_ray.encoders import timm_family

    net = VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=32,
        depth=1,
        num_heads=4,
        act_layer="quick_gelu",
        global_pool="avg",
        reg_tokens=2,
        norm_layer=partial(nn.LayerNorm, eps=1e-4),
        num_classes=0,
    )
    half = (0.5, 0.5, 0.5)
    found = timm_family.encoder("mine", net, 32, half, half).spec.traits
    assert found == Traits(4, "QuickGELU", "mean", 2, 1e-4)
    resnet = timm.create_model("resnet18", num_classes=0)
    found = timm_family.encoder("mine", resnet, 32, half, half).spec.traits
    assert found == Traits(padding="3 in the stem")
