"""VGG networks for small images: the convolutions, in one nn.Sequential called `features`.

The feature is the last map, flattened: the classifiers of these networks read it. The width thus
depends on the image size.

Sources: Simonyan and Zisserman, arXiv 1409.1556 (key names of torchvision, kuangliu/pytorch-cifar
and chengyangfu/pytorch-vgg-cifar10); `vgg_small`: YiZeng623/I-BAU, arXiv 2110.03735.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mimic_ray.encoders.traits import Traits


class Vgg(nn.Module):
    """Images [B, 3, S, S] -> features [B, C * H * W] of the last map.

    Args:
        groups: Output channels of the 3 x 3 convolutions; a 2 x 2 max-pooling ends each group.
        dropout: Rates after each pooling, in training; () for layers without dropout.
        norm: Whether a batch norm follows each convolution.
        elu: ELU instead of ReLU.
    """

    def __init__(
        self,
        groups: tuple[tuple[int, ...], ...],
        dropout: tuple[float, ...] = (),
        norm: bool = True,
        elu: bool = False,
    ) -> None:
        super().__init__()
        self.channels = groups[-1][-1]
        self.activation = "ELU" if elu else "ReLU"
        self.features = nn.Sequential()
        self.ends: dict[int, str] = {}  # index of a group's pooling -> its tap
        channels = 3
        for number, group in enumerate(groups):
            for width in group:
                self.features.append(nn.Conv2d(channels, width, 3, padding=1))
                if norm:
                    self.features.append(nn.BatchNorm2d(width))
                self.features.append(nn.ELU() if elu else nn.ReLU())
                channels = width
            self.ends[len(self.features)] = f"block{number + 1}"
            self.features.append(nn.MaxPool2d(2))
            if dropout:
                self.features.append(nn.Dropout(dropout[number]))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return run(self, images, frozenset())[0]


def run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """The last map, flattened [B, D], and the maps after the requested poolings."""
    maps = {}
    x = images
    for index, layer in enumerate(net.features):
        x = layer(x)
        if net.ends.get(index) in requested:
            maps[net.ends[index]] = x
    return x.flatten(1), maps


def make(size: int, **settings: Any) -> Vgg:  # noqa: ARG001 - any size
    return Vgg(**settings)


def taps(net: Any) -> tuple[str, ...]:
    return tuple(net.ends.values())


def blocks(net: Any) -> tuple[str, ...]:
    """The convolutions: the other layers have few weights or none."""
    layers = enumerate(net.features)
    return tuple(f"features.{index}" for index, layer in layers if isinstance(layer, nn.Conv2d))


def feature_width(net: Any, size: int) -> int:
    width: int = net.channels * (size >> len(net.ends)) ** 2
    return width


def traits(net: Any) -> Traits:
    return Traits(activation=net.activation)
