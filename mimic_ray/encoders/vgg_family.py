"""VGG networks for small images: the convolutions, one module a group between two poolings.

The layers keep the numbers that they have in the one nn.Sequential `features` of their publishers
(key_styles.py): `block2.4` is `features.4`. A group is one unit when activations are recomputed.
The feature is the last map, flattened: the classifiers of these networks read it. The width thus
depends on the image size.

Sources: Simonyan and Zisserman, arXiv 1409.1556 (key names of torchvision, kuangliu/pytorch-cifar
and chengyangfu/pytorch-vgg-cifar10); `vgg_small`: YiZeng623/I-BAU, arXiv 2110.03735.
"""

from __future__ import annotations

from torch import Tensor, nn

from mimic_ray.encoders.conv_net import ConvNet, initialise
from mimic_ray.encoders.traits import Traits


class Vgg(ConvNet):
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
        self.traits = Traits(activation="ELU" if elu else "ReLU")
        self.taps = tuple(f"block{number}" for number in range(1, len(groups) + 1))
        self.paths = self.blocks = self.taps
        channels, index = 3, 0
        for number, group in enumerate(groups):
            layers: list[nn.Module] = []
            for width in group:
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if norm else []
                layers.append(nn.ELU() if elu else nn.ReLU())
                channels = width
            layers.append(nn.MaxPool2d(2))
            block = nn.Sequential()
            for layer in [*layers, *([nn.Dropout(dropout[number])] if dropout else [])]:
                block.add_module(str(index), layer)
                index += 1
            self.add_module(self.taps[number], block)
        initialise(self)

    def width_at(self, size: int) -> int:
        return self.channels * (size >> len(self.taps)) ** 2

    def pooled(self, x: Tensor) -> Tensor:
        return x.flatten(1)
