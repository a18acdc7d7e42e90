"""Who publishes the weights of each encoder. Imports no torch."""

from __future__ import annotations

from fnmatch import fnmatchcase

from mimic_ray.encoders.conv_table import CONV_ENCODERS
from mimic_ray.encoders.vit_table import VIT_ENCODERS

# Pattern of names -> publishers; the first that matches.
_PUBLISHERS = {
    "vit_*": "Google's augreg weights in timm",
    "deit_*": "DeiT",
    "deit3_*": "DeiT III",
    "dino_*": "DINO",
    "dinov2_*": "DINOv2",
    "mae_*": "MAE",
    **dict.fromkeys(("convnext*", "*efficientnet_*", "mobilenet*", "swin_*"), "timm"),
    "*": "torchvision, timm, self-supervised training",
}


def publishers(name: str) -> str:
    """Of a built-in encoder, without size and statistics."""
    if row := CONV_ENCODERS.get(name) or VIT_ENCODERS.get(name):
        return row.source
    return next(text for pattern, text in _PUBLISHERS.items() if fnmatchcase(name, pattern))
