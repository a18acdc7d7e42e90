"""ResNets with a stem for small images, of any width, under the key names of several publishers.

The layers are those of torchvision (strides in the 3 x 3 convolutions). What differs is the stem,
the width, and the names of the parts.

Sources: He et al., arXiv 1512.03385; the stem without max-pooling: SimCLR, arXiv 2002.05709,
appendix B.9; widths: Chen et al., arXiv 2006.10029 and SwAV, arXiv 2006.09882.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.encoders.traits import Traits

TAPS = ("layer1", "layer2", "layer3", "layer4")
BASIC = 1  # channels of a block's output for each channel inside it; 4 is a bottleneck


class Stem(NamedTuple):
    """The first convolution; `pools` a max-pooling follows, `relu` before it."""

    kernel: int
    stride: int
    padding: int
    pools: bool = False
    relu: bool = True


CIFAR_STEM = Stem(3, 1, 1)


class ResidualBlock(nn.Module):
    """[B, C, H, W] -> [B, expansion * width, H / stride, W / stride]; `shortcut` names its path."""

    def __init__(
        self, channels_in: int, width: int, stride: int, expansion: int, shortcut: str
    ) -> None:
        super().__init__()
        channels = expansion * width
        if expansion == BASIC:
            sides = [(channels_in, width, 3, stride), (width, channels, 3, 1)]
        else:
            sides = [(channels_in, width, 1, 1), (width, width, 3, stride), (width, channels, 1, 1)]
        self.depth = len(sides)
        for number, (inside, outside, kernel, step) in enumerate(sides, 1):
            conv = nn.Conv2d(inside, outside, kernel, step, padding=kernel // 2, bias=False)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"bn{number}", nn.BatchNorm2d(outside))
        self.shortcut_name = shortcut if stride > 1 or channels_in != channels else ""
        if self.shortcut_name:
            conv = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.add_module(shortcut, nn.Sequential(conv, nn.BatchNorm2d(channels)))

    def forward(self, x: Tensor) -> Tensor:
        change = x
        for number in range(1, self.depth + 1):
            change = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(change))
            if number < self.depth:
                change = F.relu(change)
        kept = getattr(self, self.shortcut_name)(x) if self.shortcut_name else x
        return F.relu(change + kept)


class Resnet(nn.Module):
    """Images [B, 3, S, S] -> features [B, 8 * expansion * width].

    Args:
        blocks: Number in each of the four layers.
        expansion: 1, or 4 for bottlenecks.
        width: Channels of the stem and inside the first layer.
        stem: Its convolution.
        parts: Names of the stem's convolution and norm and of the layers.
        shortcut: Name of a block's second path.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        expansion: int,
        width: int = 64,
        stem: Stem = CIFAR_STEM,
        parts: tuple[str, ...] = ("conv1", "bn1", *TAPS),
        shortcut: str = "downsample",
    ) -> None:
        super().__init__()
        self.stem, self.parts = stem, parts
        self.feature_width = 8 * expansion * width
        conv = nn.Conv2d(3, width, stem.kernel, stem.stride, stem.padding, bias=False)
        self.add_module(parts[0], conv)
        self.add_module(parts[1], nn.BatchNorm2d(width))
        channels = width
        for number, count in enumerate(blocks):
            inside, layer = width * 2**number, nn.Sequential()
            for index in range(count):
                stride = 2 if number and not index else 1
                layer.append(ResidualBlock(channels, inside, stride, expansion, shortcut))
                channels = expansion * inside
            self.add_module(parts[2 + number], layer)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return run(self, images, frozenset())[0]


def run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, D], averaged over positions, and the maps [B, C, H, W] of the requested taps."""
    maps = {}
    conv, norm, *layers = (net.get_submodule(part) for part in net.parts)
    x = norm(conv(images))
    if net.stem.relu:
        x = F.relu(x)
    if net.stem.pools:
        x = F.max_pool2d(x, 3, 2, padding=1)
    for tap, layer in zip(TAPS, layers, strict=True):
        x = layer(x)
        if tap in requested:
            maps[tap] = x
    return x.mean(dim=(2, 3)), maps


def make(size: int, stem: tuple[Any, ...] = CIFAR_STEM, **settings: Any) -> Resnet:  # noqa: ARG001 - any size
    return Resnet(stem=Stem(*stem), **settings)


def feature_width(net: Any, size: int) -> int:  # noqa: ARG001 - for all sizes
    width: int = net.feature_width
    return width


def taps(net: Any) -> tuple[str, ...]:  # noqa: ARG001 - the same for all
    return TAPS


def blocks(net: Any) -> tuple[str, ...]:
    return tuple(f"{part}.*" for part in net.parts[2:])


def traits(net: Any) -> Traits:
    return Traits(padding=f"{net.stem.padding} in the stem")
