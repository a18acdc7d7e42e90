"""Who publishes the weights of each encoder. Imports no torch."""

from __future__ import annotations

from fnmatch import fnmatchcase

from mimic_ray.encoders.conv_table import CONV_ENCODERS
from mimic_ray.encoders.vit_table import VIT_ENCODERS

# Pattern of names -> publishers; the first that matches.
_PUBLISHERS = {
    "simclr_resnet*": "BadEncoder and SimCLR on CIFAR-10",
    "badencoder_stl10": "BadEncoder's encoder of STL-10",
    "cifar_resnet*": "akamaster/pytorch_resnet_cifar10, chenyaofo/pytorch-cifar-models",
    "vit_?_??": "torchvision",
    "vit_*": "Google's augreg weights in timm",
    "deit_*": "DeiT",
    "deit3_*": "DeiT III",
    "dino_*": "DINO",
    "dinov2_*": "DINOv2",
    "mae_*": "MAE",
    "tiny_*": "for tests and first trials of a command",
    **dict.fromkeys(("convnext_*", "*efficientnet_*", "mobilenet*", "swin_*"), "timm"),
    "*": "torchvision, timm, self-supervised training",
}


def publishers(name: str) -> str:
    """Of a built-in encoder, without size and statistics."""
    if row := CONV_ENCODERS.get(name) or VIT_ENCODERS.get(name):
        return row.source
    return next(text for pattern, text in _PUBLISHERS.items() if fnmatchcase(name, pattern))
