"""Pre-activation ResNets and wide ResNets for small images, in the layouts of their publishers.

A block normalises and activates before each convolution, and nothing follows its sum.

Sources: He et al., arXiv 1603.05027 (key names of kuangliu/pytorch-cifar); Zagoruyko and Komodakis,
arXiv 1605.07146 (key names of xternalz/WideResNet-pytorch, as in TRADES and NAD, and of
meliketoy/wide-resnet.pytorch).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.encoders.traits import Traits


class PreactLayout(NamedTuple):
    """What publishers do differently.

    Attributes:
        layer: Path of a layer, with its number.
        shortcut: Path of a shortcut's convolution in its block.
        raw_shortcut: Whether the shortcut reads a block's input before its norm and activation.
        bias: Whether convolutions have one.
        last_norm: Whether a norm and an activation follow the last layer.
    """

    layer: str
    shortcut: str
    raw_shortcut: bool = False
    bias: bool = False
    last_norm: bool = True


LAYOUTS = {
    "preact": PreactLayout("layer{}", "shortcut.0", last_norm=False),
    "wide": PreactLayout("block{}.layer", "convShortcut"),
    "wide_biased": PreactLayout("layer{}", "shortcut.0", raw_shortcut=True, bias=True),
}


class PreactBlock(nn.Module):
    """[B, C, H, W] -> [B, channels, H / stride, W / stride], two convolutions or a bottleneck."""

    def __init__(
        self, channels_in: int, channels: int, stride: int, expansion: int, layout: PreactLayout
    ) -> None:
        super().__init__()
        inside = channels // expansion
        if expansion == 1:
            sides = [(channels_in, channels, 3, stride), (channels, channels, 3, 1)]
        else:
            sides = [(channels_in, inside, 1, 1), (inside, inside, 3, stride)]
            sides.append((inside, channels, 1, 1))
        self.depth, self.raw_shortcut = len(sides), layout.raw_shortcut
        for number, (before, after, kernel, step) in enumerate(sides, 1):
            conv = nn.Conv2d(before, after, kernel, step, padding=kernel // 2, bias=layout.bias)
            self.add_module(f"bn{number}", nn.BatchNorm2d(before))
            self.add_module(f"conv{number}", conv)
        name, _, inner = layout.shortcut.partition(".")
        self.shortcut_name = name if stride > 1 or channels_in != channels else ""
        if self.shortcut_name:
            path = nn.Conv2d(channels_in, channels, 1, stride, bias=layout.bias)
            self.add_module(name, nn.Sequential(path) if inner else path)

    def forward(self, x: Tensor) -> Tensor:
        active = change = F.relu(self.get_submodule("bn1")(x))
        for number in range(1, self.depth + 1):
            if number > 1:
                change = F.relu(self.get_submodule(f"bn{number}")(change))
            change = self.get_submodule(f"conv{number}")(change)
        if not self.shortcut_name:
            return change + x
        return change + self.get_submodule(self.shortcut_name)(x if self.raw_shortcut else active)


class PreactResnet(nn.Module):
    """Images [B, 3, S, S] -> features [B, widths[-1]].

    Args:
        blocks: Number in each layer.
        widths: Channels of the stem and of each layer's output.
        layout: The publisher's, one of LAYOUTS.
        expansion: 1, or 4 for bottlenecks.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        layout: str,
        expansion: int = 1,
    ) -> None:
        super().__init__()
        published = LAYOUTS[layout]
        self.last_norm, self.feature_width = published.last_norm, widths[-1]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=published.bias)
        self.layers = []
        for number, count in enumerate(blocks, 1):
            layer, channels = nn.Sequential(), widths[number - 1]
            for index in range(count):
                stride = 2 if number > 1 and not index else 1
                layer.append(PreactBlock(channels, widths[number], stride, expansion, published))
                channels = widths[number]
            name, _, inner = published.layer.format(number).partition(".")
            self.add_module(name, nn.ModuleDict({inner: layer}) if inner else layer)
            self.layers.append(f"{name}.{inner}" if inner else name)
        if self.last_norm:
            self.bn1 = nn.BatchNorm2d(widths[-1])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        return run(self, images, frozenset())[0]


def run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, D], averaged over positions, and the maps [B, C, H, W] of the requested taps."""
    maps = {}
    x = net.conv1(images)
    for tap, path in zip(taps(net), net.layers, strict=True):
        x = net.get_submodule(path)(x)
        if tap in requested:
            maps[tap] = x
    if net.last_norm:
        x = F.relu(net.bn1(x))
    return x.mean(dim=(2, 3)), maps


def make(size: int, **settings: Any) -> PreactResnet:  # noqa: ARG001 - any size
    return PreactResnet(**settings)


def feature_width(net: Any, size: int) -> int:  # noqa: ARG001 - for all sizes
    width: int = net.feature_width
    return width


def taps(net: Any) -> tuple[str, ...]:
    return tuple(f"layer{number}" for number in range(1, len(net.layers) + 1))


def blocks(net: Any) -> tuple[str, ...]:
    return tuple(f"{path}.*" for path in net.layers)


def traits(net: Any) -> Traits:  # noqa: ARG001 - the same for all
    return Traits()
