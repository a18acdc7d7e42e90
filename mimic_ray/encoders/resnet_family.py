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

from mimic_ray.encoders.conv_net import ConvNet, attach, initialise
from mimic_ray.encoders.traits import Traits

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


class Resnet(ConvNet):
    """Images [B, 3, S, S] -> features [B, 8 * expansion * width].

    Args:
        blocks: Number in each of the four layers.
        expansion: 1, or 4 for bottlenecks.
        width: Channels of the stem and inside the first layer.
        stem: Values of a Stem.
        parts: Paths of the stem's convolution and norm and of the layers.
        shortcut: Name of a block's second path.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        expansion: int,
        width: int = 64,
        stem: tuple[Any, ...] = CIFAR_STEM,
        parts: tuple[str, ...] = ("conv1", "bn1", *ConvNet.taps),
        shortcut: str = "downsample",
    ) -> None:
        super().__init__()
        self.first, self.parts, self.paths = Stem(*stem), parts[:2], parts[2:]
        self.feature_width = 8 * expansion * width
        self.blocks = tuple(f"{part}.*" for part in self.paths)
        self.traits = Traits(padding=f"{self.first.padding} in the stem")
        kernel, stride, padding = self.first[:3]
        attach(self, parts[0], nn.Conv2d(3, width, kernel, stride, padding, bias=False))
        attach(self, parts[1], nn.BatchNorm2d(width))
        channels = width
        for number, count in enumerate(blocks):
            inside, layer = width * 2**number, nn.Sequential()
            for index in range(count):
                stride = 2 if number and not index else 1
                layer.append(ResidualBlock(channels, inside, stride, expansion, shortcut))
                channels = expansion * inside
            attach(self, parts[2 + number], layer)
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        conv, norm = map(self.get_submodule, self.parts)
        x: Tensor = norm(conv(images))
        x = F.relu(x) if self.first.relu else x
        return F.max_pool2d(x, 3, 2, padding=1) if self.first.pools else x
