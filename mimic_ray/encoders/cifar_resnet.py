"""The small ResNets for 32 x 32 images: 20, 32, 44 or 56 layers, 0.27 to 0.85 million weights.

Shortcuts have no weights (option A): every second pixel, new channels filled with zeros.

Source: He et al., arXiv 1512.03385, section 4.2; key names of akamaster/pytorch_resnet_cifar10,
whose classifier `linear` is not part of the encoder.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.encoders.conv_net import ConvNet, initialise


class Block(nn.Module):
    """Two 3 x 3 convolutions around a shortcut: [B, C, H, W] -> [B, D, H / stride, W / stride]."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        # Half of the new channels go before the old ones, half after.
        self.new_channels = (channels - channels_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        change = F.relu(self.bn1(self.conv1(x)))
        change = self.bn2(self.conv2(change))
        return F.relu(change + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        if self.stride == 1 and not self.new_channels:
            return x
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.new_channels, self.new_channels))


class CifarResnet(ConvNet):
    """Images [B, 3, S, S] -> features [B, widths[2]]; `blocks` in each of the three layers."""

    taps = paths = ("layer1", "layer2", "layer3")

    def __init__(self, blocks: int, widths: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        self.feature_width = widths[-1]
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _layer(blocks, widths[0], widths[0], stride=1)
        self.layer2 = _layer(blocks, widths[0], widths[1], stride=2)
        self.layer3 = _layer(blocks, widths[1], widths[2], stride=2)
        initialise(self, "fan_in")

    def stem(self, images: Tensor) -> Tensor:
        return F.relu(self.bn1(self.conv1(images)))


def _layer(blocks: int, channels_in: int, channels: int, stride: int) -> nn.Sequential:
    first = Block(channels_in, channels, stride)
    return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(blocks - 1)))
