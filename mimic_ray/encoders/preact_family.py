"""Pre-activation ResNets and wide ResNets for small images, in the layouts of their publishers.

A block normalises and activates before each convolution, and nothing follows its sum.

Sources: He et al., arXiv 1603.05027 (key names of kuangliu/pytorch-cifar); Zagoruyko and Komodakis,
arXiv 1605.07146 (key names of xternalz/WideResNet-pytorch, as in TRADES and NAD, and of
meliketoy/wide-resnet.pytorch); the variant of semi-supervised learning: kekmodel/FixMatch-pytorch,
TorchSSL/TorchSSL, solo-learn, microsoft/Semi-supervised-learning (USB).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.encoders.conv_net import ConvNet, attach, initialise
from mimic_ray.encoders.traits import Traits


class PreactLayout(NamedTuple):
    """What publishers do differently.

    Attributes:
        layer: Path of a layer, with its number.
        shortcut: Path of a shortcut's convolution in its block.
        raw_shortcut: Whether the shortcut reads a block's input before its norm and activation.
        bias: Whether convolutions have one.
        last_norm: Whether a norm and an activation follow the last layer.
        raw_start: Whether the first block of all layers but the first convolves its input itself:
            its first norm is in the files and is not used.
        slope: Of the activation for negative values.
        epsilon: Of the norms.
    """

    layer: str
    shortcut: str
    raw_shortcut: bool = False
    bias: bool = False
    last_norm: bool = True
    raw_start: bool = False
    slope: float = 0.0
    epsilon: float = 1e-5


LAYOUTS = {
    "preact": PreactLayout("layer{}", "shortcut.0", last_norm=False),
    "wide": PreactLayout("block{}.layer", "convShortcut"),
    "wide_biased": PreactLayout("layer{}", "shortcut.0", raw_shortcut=True, bias=True),
    "fixmatch": PreactLayout("block{}.layer", "convShortcut", raw_start=True, slope=0.1),
    "torchssl": PreactLayout(
        "block{}.layer", "convShortcut", bias=True, raw_start=True, slope=0.1, epsilon=1e-3
    ),
    "usb": PreactLayout("block{}.layer", "convShortcut", bias=True, slope=0.1, epsilon=1e-3),
}


class UnusedNorm(nn.Module):
    """The values of a batch norm that the publisher's network has and never applies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in nn.BatchNorm2d(channels).state_dict().items():
            self.register_buffer(name, value)


class PreactBlock(nn.Module):
    """[B, C, H, W] -> [B, channels, H / stride, W / stride], two convolutions or a bottleneck."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        expansion: int,
        layout: PreactLayout,
        raw_start: bool,
    ) -> None:
        super().__init__()
        inside = channels // expansion
        if expansion == 1:
            sides = [(channels_in, channels, 3, stride), (channels, channels, 3, 1)]
        else:
            sides = [(channels_in, inside, 1, 1), (inside, inside, 3, stride)]
            sides.append((inside, channels, 1, 1))
        self.depth, self.raw_shortcut, self.slope = len(sides), layout.raw_shortcut, layout.slope
        self.raw_start = raw_start
        for number, (before, after, kernel, step) in enumerate(sides, 1):
            conv = nn.Conv2d(before, after, kernel, step, padding=kernel // 2, bias=layout.bias)
            unused = raw_start and number == 1
            norm = UnusedNorm(before) if unused else nn.BatchNorm2d(before, layout.epsilon)
            self.add_module(f"bn{number}", norm)
            self.add_module(f"conv{number}", conv)
        self.shortcut_path = layout.shortcut if stride > 1 or channels_in != channels else ""
        if self.shortcut_path:
            shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=layout.bias)
            attach(self, self.shortcut_path, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        active = change = x if self.raw_start else self._active(x, 1)
        for number in range(1, self.depth + 1):
            if number > 1:
                change = self._active(change, number)
            change = self.get_submodule(f"conv{number}")(change)
        if not self.shortcut_path:
            return change + x
        return change + self.get_submodule(self.shortcut_path)(x if self.raw_shortcut else active)

    def _active(self, x: Tensor, number: int) -> Tensor:
        return F.leaky_relu(self.get_submodule(f"bn{number}")(x), self.slope)


class PreactResnet(ConvNet):
    """Images [B, 3, S, S] -> features [B, widths[-1]].

    Args:
        blocks: Number in each layer.
        widths: Channels of the stem and of each layer's output.
        layout: The publisher's, one of LAYOUTS.
        expansion: 1, or 4 for bottlenecks.
        stride: Of the first layer.
    """

    def __init__(
        self,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        layout: str,
        expansion: int = 1,
        stride: int = 1,
    ) -> None:
        super().__init__()
        published = LAYOUTS[layout]
        self.last_norm, self.slope = published.last_norm, published.slope
        self.feature_width = widths[-1]
        self.traits = Traits(
            activation="LeakyReLU" if published.slope else "ReLU",
            norm_epsilon=0.0 if published.epsilon == 1e-5 else published.epsilon,
            first_norms="unused" if published.raw_start else "",
        )
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=published.bias)
        self.taps = tuple(f"layer{number}" for number in range(1, len(blocks) + 1))
        self.paths = tuple(published.layer.format(tap[-1]) for tap in self.taps)
        self.blocks = tuple(f"{path}.*" for path in self.paths)
        for number, count in enumerate(blocks, 1):
            layer, channels = nn.Sequential(), widths[number - 1]
            for index in range(count):
                first = 2 if number > 1 else stride
                raw_start = published.raw_start and number > 1 and not index
                block = PreactBlock(
                    channels,
                    widths[number],
                    1 if index else first,
                    expansion,
                    published,
                    raw_start,
                )
                layer.append(block)
                channels = widths[number]
            attach(self, self.paths[number - 1], layer)
        if self.last_norm:
            self.bn1 = nn.BatchNorm2d(widths[-1], published.epsilon)
        initialise(self)

    def stem(self, images: Tensor) -> Tensor:
        x: Tensor = self.conv1(images)
        return x

    def pooled(self, x: Tensor) -> Tensor:
        return super().pooled(F.leaky_relu(self.bn1(x), self.slope) if self.last_norm else x)
