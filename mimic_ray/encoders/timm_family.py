"""Every ResNet and vision transformer of timm, by timm's own names, with or without a tag.

A tag (`vit_small_patch16_224.dino`) says whose weights are meant, and with them the statistics of
the input. Nothing is downloaded. Taps come from timm's `forward_intermediates`: `layer1` to
`layer4` of a ResNet; of a transformer every `block<i>`, its patch tokens as a map.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import timm
from timm.models import get_pretrained_cfg
from torch import Tensor

from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.sizes import require_whole_patches

# timm's modules of ResNets and of transformers with one grid of patches, and whom of each we take.
MODULES = {
    "resnet": "*",
    "resnetv2": "*",
    "resnest": "*",
    "res2net": "*",
    "sknet": "*",
    "byobnet": "resnet*",
    "vision_transformer": "*",
    "vision_transformer_hybrid": "*",
    "vision_transformer_relpos": "*",
    "deit": "*",
    "beit": "*",
    "eva": "*",
}


@cache
def names(tagged: bool = False) -> tuple[str, ...]:
    """The names that `build` takes, without tags or only with them. Square inputs only."""
    listed = (
        name for module in MODULES for name in timm.list_models(module=module, include_tags=tagged)
    )
    return tuple(name for name in listed if _is_square(name))


def _is_square(name: str) -> bool:
    config = get_pretrained_cfg(name)
    return config is not None and config.input_size[1] == config.input_size[2]


def input_size(timm_name: str) -> int:
    """The side in pixels of the images that the pretrained weights are for."""
    size: int = get_pretrained_cfg(timm_name).input_size[1]
    return size


def supports(timm_name: str) -> bool:
    return timm_name in names() or timm_name in names(tagged=True)


def build(timm_name: str, name: str, size: int | None = None) -> Encoder:
    """The encoder with random weights, for images of `size` pixels a side or of its own size;
    `name` is what our users call it.

    Raises UsageError where patches do not cover such an image.
    """
    net = timm.create_model(timm_name, pretrained=False, num_classes=0)
    config = net.pretrained_cfg
    own_size = config["input_size"][1]
    if size is not None and size != own_size and _has_patches(net):
        require_whole_patches(name, size, own_size // net.patch_embed.grid_size[0])
        net = timm.create_model(timm_name, pretrained=False, num_classes=0, img_size=size)
    return encoder(name, net, size or own_size, config["mean"], config["std"])


def encoder(name: str, net: Any, input_size: int, mean: Any, std: Any) -> Encoder:
    """A timm network without its classifier as an Encoder."""
    places = _places(net)
    spec = Spec(name, net.head_hidden_size, input_size, tuple(mean), tuple(std), tuple(places))
    return Encoder(spec, net, partial(run, places=places))


def _places(net: Any) -> dict[str, int]:
    """Our tap names and their places among timm's intermediates."""
    if _has_patches(net):
        return {f"block{index}": index for index in range(len(net.blocks))}
    # Place 0 is the stem.
    return {f"layer{index}": index for index in (1, 2, 3, 4)}


def _has_patches(net: Any) -> bool:
    """Whether it is a transformer: a ResNet takes images of any size as it is."""
    return hasattr(net, "blocks")


def run(
    net: Any, images: Tensor, wanted: frozenset[str], *, places: dict[str, int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, D] as the network's own forward gives them, and the wanted maps."""
    if not wanted:
        return net(images), {}
    taps = sorted(wanted, key=places.__getitem__)
    last, maps = net.forward_intermediates(
        images, indices=[places[tap] for tap in taps], output_fmt="NCHW"
    )
    return net.forward_head(last), dict(zip(taps, maps, strict=True))
