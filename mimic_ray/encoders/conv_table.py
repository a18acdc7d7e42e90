"""Convolutional encoders as a table: the network, its images, and who publishes such files.

conv_builder.py builds them. Listing the names imports no torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mimic_ray.encoders.normalisation import (
    CIFAR10,
    CIFAR10_EXACT,
    CIFAR100,
    CLIP,
    HALF,
    IMAGENET,
    NONE,
    STL10,
    Normalisation,
)


class ConvEncoder(NamedTuple):
    """One encoder.

    Attributes:
        network: Module of this package and its class.
        settings: Arguments of the class.
        statistics: Of the images in the training of the publisher.
        source: Who publishes such weights.
        side: Of the images, in pixels.
        patch: Every side is a multiple of it.
    """

    network: str
    settings: dict[str, Any]
    statistics: Normalisation
    source: str
    side: int = 32
    patch: int = 1


_BASIC, _BOTTLENECK = 1, 4
_RESNETS = {
    "18": ((2, 2, 2, 2), _BASIC),
    "34": ((3, 4, 6, 3), _BASIC),
    "50": ((3, 4, 6, 3), _BOTTLENECK),
}
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_VGGS = {
    "11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "16": _VGG16,
    "19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}
_WIDE = {
    "": (
        (16, 1),
        (16, 2),
        (16, 4),
        (16, 8),
        (28, 2),
        (28, 8),
        (28, 10),
        (34, 10),
        (40, 1),
        (40, 2),
        (40, 4),
    ),
    "_biased": ((16, 8), (28, 10), (40, 2)),
}
_CLIP = {
    "clip_rn50": ((3, 4, 6, 3), 64, 1024, 224),
    "clip_rn101": ((3, 4, 23, 3), 64, 512, 224),
    "clip_rn50x4": ((4, 6, 10, 6), 80, 640, 288),
    "clip_rn50x16": ((6, 8, 18, 8), 96, 768, 384),
}
_TORCHSSL_STL10 = Normalisation((0.4408, 0.4278, 0.3867), (0.2682, 0.2612, 0.2686))
# torchvision's name -> ends of TorchvisionConv, and the side in pixels.
_STAGED = (2, 4, 6, 8)
_EFFICIENT = (3, 4, 6, 8)
_TORCHVISION = {
    **{f"convnext_{size}": (_STAGED, 224) for size in ("tiny", "small", "base", "large")},
    **{f"swin_{size}": (_STAGED, 224) for size in "tsb"},
    **{f"swin_v2_{size}": (_STAGED, 256) for size in "tsb"},
    **{
        f"efficientnet_b{number}": (_EFFICIENT, side)
        for number, side in enumerate((224, 240, 288, 300, 380, 456, 528, 600))
    },
    "efficientnet_v2_s": ((3, 4, 6, 7), 384),
    "efficientnet_v2_m": (_EFFICIENT, 480),
    "efficientnet_v2_l": (_EFFICIENT, 480),
    "mobilenet_v2": ((4, 7, 14, 18), 224),
    "mobilenet_v3_large": ((4, 7, 13, 16), 224),
    "mobilenet_v3_small": ((2, 4, 9, 12), 224),
}


def _resnet(
    layers: str, statistics: Normalisation, source: str, side: int = 32, **settings: Any
) -> ConvEncoder:
    blocks, expansion = _RESNETS[layers]
    settings = {"blocks": blocks, "expansion": expansion, **settings}
    return ConvEncoder("resnet_family:Resnet", settings, statistics, source, side)


def _resnets() -> dict[str, ConvEncoder]:
    rows: dict[str, ConvEncoder] = {}
    for name, layers, statistics, source in (
        *((f"simclr_resnet{n}", n, CIFAR10, "BadEncoder and SimCLR on CIFAR-10") for n in _RESNETS),
        ("badencoder_stl10", "18", STL10, "BadEncoder's encoder of STL-10"),
    ):
        parts = tuple(f"f.{number}" for number in (0, 1, 3, 4, 5, 6))
        rows[name] = _resnet(layers, statistics, source, parts=parts)
    for depth in (20, 32, 44, 56):
        rows[f"cifar_resnet{depth}"] = ConvEncoder(
            "cifar_resnet:CifarResnet",
            {"blocks": (depth - 2) // 6},
            IMAGENET,
            "akamaster/pytorch_resnet_cifar10, chenyaofo/pytorch-cifar-models",
        )
    for layers in _RESNETS:
        rows[f"resnet{layers}_cifar"] = _resnet(
            layers, CIFAR10, "3 x 3 stem: kuangliu/pytorch-cifar, SupContrast, SSL on CIFAR"
        )
    for layers in ("18", "50"):
        rows[f"solo_resnet{layers}"] = _resnet(
            layers, CIFAR10_EXACT, "solo-learn on CIFAR: stem padded by 2 pixels", stem=(3, 1, 2)
        )
        rows[f"lightly_resnet{layers}"] = _resnet(
            layers,
            IMAGENET,
            "lightly's ResNetGenerator in one nn.Sequential: no activation after the stem",
            stem=(3, 1, 1, False, False),
            parts=("0", "1", "2", "3", "4", "5"),
            shortcut="shortcut",
        )
    rows["badencoder_imagenet"] = _resnet(
        "50",
        NONE,
        "BadEncoder's ImageNet encoder, SimCLR of Google",
        side=224,
        stem=(7, 2, 3, True),
    )
    for factor in (2, 4):
        rows[f"resnet50w{factor}"] = _resnet(
            "50",
            IMAGENET,
            "SwAV, VICReg and BYOL",
            side=224,
            stem=(7, 2, 3, True),
            width=64 * factor,
        )
    return rows


def _preact(
    layout: str,
    layers: tuple[int, ...],
    widths: tuple[int, ...],
    statistics: Normalisation,
    source: str,
    side: int = 32,
    **settings: Any,
) -> ConvEncoder:
    settings = {"blocks": layers, "widths": widths, "layout": layout, **settings}
    return ConvEncoder("preact_family:PreactResnet", settings, statistics, source, side)


def _wide(factor: int, layers: int = 3) -> tuple[int, ...]:
    """The channels of the stem and the layers."""
    return (16, *(16 * factor * 2**number for number in range(layers)))


def _preacts() -> dict[str, ConvEncoder]:
    rows = {}
    for layers, (blocks, expansion) in _RESNETS.items():
        rows[f"preact_resnet{layers}"] = _preact(
            "preact",
            blocks,
            (64, *(2**number * 64 * expansion for number in range(4))),
            CIFAR10,
            "kuangliu/pytorch-cifar, BackdoorBench, WaNet",
            expansion=expansion,
        )
    for layout, ending, source in (
        ("wide", "", "xternalz/WideResNet-pytorch, TRADES, NAD"),
        ("wide_biased", "_biased", "meliketoy/wide-resnet.pytorch: convolutions with a bias"),
    ):
        for depth, factor in _WIDE[ending]:
            rows[f"wrn{depth}_{factor}{ending}"] = _preact(
                layout, ((depth - 4) // 6,) * 3, _wide(factor), CIFAR10, source
            )
    for layout, source in (
        ("fixmatch", "kekmodel/FixMatch-pytorch"),
        ("torchssl", "TorchSSL and solo-learn"),
        ("usb", "USB, microsoft/Semi-supervised-learning"),
    ):
        for factor, statistics in ((2, CIFAR10_EXACT), (8, CIFAR100)):
            rows[f"{layout}_wrn28_{factor}"] = _preact(
                layout, (4, 4, 4), _wide(factor), statistics, source
            )
        if layout != "fixmatch":
            rows[f"{layout}_wrn37_2"] = _preact(
                layout,
                (4, 4, 4, 4),
                _wide(2, layers=4),
                _TORCHSSL_STL10,
                f"{source}, on STL-10",
                96,
                stride=2,
            )
    return rows


def _others() -> dict[str, ConvEncoder]:
    rows = {}
    for layers, groups in _VGGS.items():
        rows[f"vgg{layers}_bn_cifar"] = ConvEncoder(
            "vgg_family:Vgg",
            {"groups": groups},
            CIFAR10,
            "kuangliu/pytorch-cifar, chengyangfu/pytorch-vgg-cifar10",
        )
    rows["vgg_small"] = ConvEncoder(
        "vgg_family:Vgg",
        {"groups": ((32, 32), (64, 64), (128, 128)), "dropout": (0.3, 0.4, 0.4), "elu": True},
        NONE,
        "YiZeng623/I-BAU",
    )
    for name, (blocks, width, embedding, side) in _CLIP.items():
        of_clip: dict[str, Any] = {"blocks": blocks, "width": width, "embedding": embedding}
        rows[name] = ConvEncoder(
            "clip_resnet:ClipResnet", of_clip, CLIP, "OpenAI CLIP", side, patch=32
        )
    for name, (ends, side) in _TORCHVISION.items():
        of_torchvision: dict[str, Any] = {"name": name, "ends": ends}
        statistics = HALF if name == "efficientnet_v2_l" else IMAGENET
        rows[f"torchvision_{name}"] = ConvEncoder(
            "torchvision_conv:TorchvisionConv", of_torchvision, statistics, "torchvision", side
        )
    rows["tiny_resnet"] = ConvEncoder(
        "cifar_resnet:CifarResnet",
        {"blocks": 1, "widths": (8, 16, 32)},
        IMAGENET,
        "for tests and first trials of a command",
    )
    return rows


CONV_ENCODERS = {**_resnets(), **_preacts(), **_others()}
