"""BadEncoder's SimCLR ResNets: torchvision's, with a stem for 32 x 32 images, in one Sequential.

The stem is a 3 x 3 convolution of stride 1 without max-pooling. Keys are `f.0.weight` (stem),
`f.1...` (batch norm), `f.3...` to `f.6...` (layer1 to layer4). The projector `g` is not part of it.

Source: jinyuan-jia/BadEncoder; SimCLR, arXiv 2002.05709, appendix B.9.
"""

from __future__ import annotations

from typing import Any

import torchvision
from torch import Tensor, nn

from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.normalisation import CIFAR10, STL10, Normalisation

LAYERS = ("conv1", "bn1", "relu", "layer1", "layer2", "layer3", "layer4", "avgpool")
TAPS = ("layer1", "layer2", "layer3", "layer4")
SIDE = 32


class SimclrResnet(nn.Module):
    """Images [B, 3, 32, 32] -> features [B, 512] (18 and 34 layers) or [B, 2048] (50 layers)."""

    def __init__(self, resnet: nn.Module) -> None:
        super().__init__()
        resnet.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        self.f = nn.Sequential(*(resnet.get_submodule(name) for name in LAYERS))

    def forward(self, images: Tensor) -> Tensor:
        return run(self, images, frozenset())[0]


def run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, D] and the maps [B, C, H, W] of the requested taps."""
    maps = {}
    x = images
    for name, layer in zip(LAYERS, net.f, strict=True):
        x = layer(x)
        if name in requested:
            maps[name] = x
    return x.flatten(1), maps


def simclr_resnet18(size: int = SIDE) -> Encoder:
    return _encoder("simclr_resnet18", torchvision.models.resnet18(weights=None), size)


def simclr_resnet34(size: int = SIDE) -> Encoder:
    return _encoder("simclr_resnet34", torchvision.models.resnet34(weights=None), size)


def simclr_resnet50(size: int = SIDE) -> Encoder:
    return _encoder("simclr_resnet50", torchvision.models.resnet50(weights=None), size)


def badencoder_stl10(size: int = SIDE) -> Encoder:
    """BadEncoder's encoder that was trained on STL-10, of 32 pixels."""
    return _encoder("badencoder_stl10", torchvision.models.resnet18(weights=None), size, STL10)


def _encoder(name: str, resnet: Any, size: int, statistics: Normalisation = CIFAR10) -> Encoder:
    spec = Spec(
        name,
        feature_width=resnet.fc.in_features,
        input_size=size,
        mean=statistics.mean,
        std=statistics.std,
        taps=TAPS,
        blocks=("f.*.*",),
    )
    return Encoder(spec, SimclrResnet(resnet), run)
