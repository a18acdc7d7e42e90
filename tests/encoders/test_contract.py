"""The contract of every encoder in the registry.

Shapes are checked for all of them on torch's `meta` device, which computes no values; values for
those that are fast on a CPU, and with `-m slow` for all but the largest.
"""

from __future__ import annotations

import re
from functools import cache

import pytest
import torch
from torch import nn

from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.blocks import blocks
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.meta_device import meta_device

NAMES = encoder_registry.names()
QUICK = {
    *("tiny_resnet", "tiny_vit", "cifar_resnet20", "cifar_resnet56", "simclr_resnet18"),
    *("resnet18", "vit_ti16", "clip_rn50", "wrn16_1", "vgg_small", "torchvision_mobilenet_v2"),
}
LARGE = {
    name
    for name in NAMES
    if re.search(
        r"_(l|h|g|so400m|bigg|7b)_?\d|101|dinov2_b|w4|x16|_b[4-7]$|_v2_[ml]$|_large$|_huge$", name
    )
}
WITH_VALUES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in NAMES
    if name not in LARGE
]

# From the papers: channels of a residual layer, and the width and depth of a transformer.
BASIC, BOTTLENECK = (64, 128, 256, 512), (256, 512, 1024, 2048)
WIDTHS = {
    "ti": 192,
    "s": 384,
    "b": 768,
    "l": 1024,
    "h": 1280,
    "so400m": 1152,
    "bigg": 1664,
    "7b": 4096,
}
DEPTHS = {"ti": 12, "s": 12, "b": 12, "l": 24, "h": 32, "so400m": 27, "bigg": 48, "g": 40, "7b": 40}
V2_WIDTHS = {
    "atto": 40,
    "femto": 48,
    "pico": 64,
    "nano": 80,
    "tiny": 96,
    "base": 128,
    "large": 192,
    "huge": 352,
}
# The last blocks of the stages of stride 4 to 32, from the tables of the papers.
MOBILE = {
    "efficientnet_b0": (24, 40, 112, 320),
    "tf_efficientnet_b0": (24, 40, 112, 320),
    "mobilenetv2_100": (24, 32, 96, 320),
    "mobilenetv3_large_100": (24, 40, 112, 960),
    "torchvision_mobilenet_v2": (24, 32, 96, 320),
    "torchvision_mobilenet_v3_large": (24, 40, 112, 160),
    "torchvision_mobilenet_v3_small": (16, 24, 48, 96),
    "torchvision_efficientnet_v2_s": (48, 64, 160, 256),
    "torchvision_efficientnet_v2_m": (48, 80, 176, 512),
    "torchvision_efficientnet_v2_l": (64, 96, 224, 640),
    **{
        f"torchvision_efficientnet_b{number}": tuple(
            8 * round(factor * channels / 8) for channels in (24, 40, 112, 320)
        )
        for number, factor in enumerate((1, 1, 1.1, 1.2, 1.4, 1.6, 1.8, 2))
    },
}


def published_maps(name: str) -> list[tuple[int, int]]:
    """(channels, stride) of every tap, from the name."""
    if mobile := MOBILE.get(name):
        return list(zip(mobile, (4, 8, 16, 32), strict=True))
    if name == "tiny_resnet":
        return [(8, 1), (16, 2), (32, 4)]
    if name == "tiny_vit":
        return [(32, 8)] * 3
    if name.startswith("cifar_"):
        return [(16, 1), (32, 2), (64, 4)]
    sizes = "|".join(DEPTHS)
    if transformer := re.search(rf"_({sizes})_?(\d+)(plus|_timm|_[a-z]+|_reg4)*$", name):
        size, patch = transformer[1], int(transformer[2])
        giant = 1408 if "clip" in name or "ijepa" in name else 1536
        if name == "openclip_vit_b16plus":
            return [(896, 16)] * 12
        return [(WIDTHS.get(size, giant), patch)] * (DEPTHS[size] - ("_conv_" in name))
    if name.endswith("wrn37_2"):
        return [(32, 2), (64, 4), (128, 8), (256, 16)]
    if wide := re.search(r"wrn\d+_(\d+)", name):
        return [(16 * int(wide[1]) * stride, stride) for stride in (1, 2, 4)]
    if name == "vgg_small":
        return [(32, 2), (64, 4), (128, 8)]
    if name.startswith("vgg"):
        return [(64, 2), (128, 4), (256, 8), (512, 16), (512, 32)]
    if name.startswith("convnextv2"):
        first = V2_WIDTHS[name.partition("_")[2]]
        return [(first * by, 4 * by) for by in (1, 2, 4, 8)]
    if name.removeprefix("torchvision_").startswith(("convnext", "swin")):
        first = 192 if name.endswith("large") else 128 if name.endswith(("base", "_b")) else 96
        return [(first * by, 4 * by) for by in (1, 2, 4, 8)]
    channels = BASIC if re.search("18|34|stl10", name) else BOTTLENECK
    small = re.search("simclr|cifar|lightly|preact|stl10", name)
    strides = (1, 2, 4, 8) if small else (4, 8, 16, 32)
    if name.startswith("solo"):
        strides = (1, 2, 4, 6)  # the stem's map has 34 pixels
    wider = {"w2": 2, "w4": 4, "x4": 1.25, "x16": 1.5}
    factor = next((by for end, by in wider.items() if name.endswith(end)), 1)
    return [(int(factor * each), stride) for each, stride in zip(channels, strides, strict=True)]


@cache
def on_meta(name: str) -> Encoder:
    with meta_device():
        return encoder_registry.build(name)


def small(name: str) -> Encoder:
    """The encoder for small images, which has the same layers and needs less time."""
    size = {32: 16 if name.startswith("simclr") else 32, 518: 56}.get(
        on_meta(name).spec.input_size, 64
    )
    return encoder_registry.build(f"{name}@{size}").eval()


def images(encoder: Encoder, count: int = 2, device: str = "cpu") -> torch.Tensor:
    side = encoder.spec.input_size
    return torch.rand(count, 3, side, side, device=device)


@pytest.mark.parametrize("name", NAMES)
def test_taps_have_the_published_channels_and_strides(name: str) -> None:
    encoder = on_meta(name)
    side = encoder.spec.input_size
    with torch.no_grad():
        features, maps = encoder(images(encoder, device="meta"), encoder.spec.taps)
    found = [(tap.shape[1], side / tap.shape[2]) for tap in maps]
    # A map of an odd number of positions is rounded up.
    assert found == [(width, pytest.approx(at, rel=0.12)) for width, at in published_maps(name)]
    assert all(tap.shape[0] == 2 and tap.shape[2] == tap.shape[3] for tap in maps)
    assert features.shape == (2, encoder.spec.feature_width)


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_has_the_requested_name_and_plausible_statistics(name: str) -> None:
    spec = on_meta(name).spec
    assert spec.name == name
    assert len(spec.mean) == len(spec.std) == 3
    unchanged = (spec.mean, spec.std) == ((0.0,) * 3, (1.0,) * 3)
    assert unchanged or all(0.19 < value < 0.6 for value in (*spec.mean, *spec.std))


@pytest.mark.parametrize("name", NAMES)
def test_no_head_or_projector_is_among_the_weights(name: str) -> None:
    keys = on_meta(name).net.state_dict()
    assert not [
        key
        for key in keys
        # The norm of a ConvNeXt is part of the classifier in torchvision.
        if re.match(r"(fc|head(?!\.norm)|heads|linear|classifier(?!\.0\.)|g)\.", key)
    ]


@pytest.mark.parametrize("name", WITH_VALUES)
def test_values_are_finite_and_taps_do_not_change_them(name: str) -> None:
    torch.manual_seed(1)
    encoder = small(name)
    batch = images(encoder)
    hooks_before = count_hooks(encoder)

    features, maps = encoder(batch, encoder.spec.taps)

    assert all(tensor.isfinite().all() for tensor in (features, *maps))
    with torch.no_grad():
        plain = encoder.net((batch - encoder.mean) / encoder.std)
        torch.testing.assert_close(features.detach(), plain, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(encoder(batch), plain, rtol=1e-4, atol=1e-5)
    assert count_hooks(encoder) == hooks_before

    features.square().sum().backward()
    unused = [key for key, value in encoder.net.named_parameters() if value.grad is None]
    assert not unused
    first = next(iter(encoder.net.parameters()))
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["tiny_resnet", "simclr_resnet18", "resnet18", "clip_rn50"])
def test_the_feature_is_computed_from_the_returned_maps(name: str) -> None:
    encoder = small(name)
    features, maps = encoder(images(encoder, count=1), encoder.spec.taps)
    # A map from a second forward would have no gradient. Transformers return rearranged copies.
    gradients = torch.autograd.grad(features.square().sum(), maps)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def count_hooks(encoder: nn.Module) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in encoder.modules()
    )


@pytest.mark.parametrize("name", NAMES)
def test_it_declares_its_blocks_which_hold_most_weights_and_are_not_nested(name):
    encoder = on_meta(name)
    assert encoder.spec.blocks
    found = blocks(encoder)
    inside = [id(module) for block in found for module in block.modules()]
    assert len(inside) == len({*inside})
    weights = sum(p.numel() for block in found for p in block.parameters())
    assert weights > 0.6 * sum(p.numel() for p in encoder.net.parameters())
