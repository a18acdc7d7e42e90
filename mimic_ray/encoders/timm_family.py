"""Every ResNet and vision transformer of timm under its timm name, with or without a tag.

A tag (`vit_small_patch16_224.dino`) selects a publisher's weights, and with them the statistics of
the input. Nothing is downloaded. Taps come from timm's `forward_intermediates`: `layer1` to
`layer4` of a ResNet, and each `block<i>` of a transformer, whose patch tokens are the map.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import timm
from timm.models import get_pretrained_cfg
from torch import Tensor

from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.sizes import require_whole_patches
from mimic_ray.encoders.traits import Traits

# timm's modules of ResNets and of transformers with a single patch grid, and the models taken.
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
    """The names that `build` accepts, all without or all with tags. Square inputs only."""
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
    """The encoder with random weights, for images of `size` pixels or its default size. `name` is
    the name that the user gave.

    Raises UsageError if the size is not a multiple of the patches.
    """
    net = timm.create_model(timm_name, pretrained=False, num_classes=0)
    config = net.pretrained_cfg
    default_size = config["input_size"][1]
    if size is not None and size != default_size and _has_patches(net):
        require_whole_patches(name, size, default_size // net.patch_embed.grid_size[0])
        net = timm.create_model(timm_name, pretrained=False, num_classes=0, img_size=size)
    return encoder(name, net, size or default_size, config["mean"], config["std"])


def encoder(name: str, net: Any, input_size: int, mean: Any, std: Any) -> Encoder:
    """A timm network without its classifier as an Encoder."""
    indices = _tap_indices(net)
    spec = Spec(
        name,
        net.head_hidden_size,
        input_size,
        tuple(mean),
        tuple(std),
        taps=tuple(indices),
        blocks=_blocks(net),
        traits=_traits(net),
    )
    return Encoder(spec, net, partial(run, indices=indices))


def _tap_indices(net: Any) -> dict[str, int]:
    """Tap names and their indices among timm's intermediates."""
    if _has_patches(net):
        return {f"block{index}": index for index in range(len(net.blocks))}
    # Index 0 is the stem.
    return {f"layer{index}": index for index in (1, 2, 3, 4)}


def _blocks(net: Any) -> tuple[str, ...]:
    if _has_patches(net):  # a hybrid's patches come from a ResNet
        return ("blocks.*", "patch_embed.backbone.stages.*.blocks.*")
    if hasattr(net, "layer1"):
        return ("layer*.*",)
    return ("stages.*.blocks.*",) if hasattr(net.stages[0], "blocks") else ("stages.*.*",)


def _traits(net: Any) -> Traits:
    """Of a transformer; the keys and shapes of a ResNet tell all."""
    if not _has_patches(net):
        return Traits()
    block = net.blocks[0]
    activation = getattr(getattr(block, "mlp", None), "act", None)
    pooling = getattr(net, "global_pool", "")
    return Traits(
        heads=getattr(block.attn, "num_heads", 0),
        activation=type(activation).__name__ if activation is not None else "",
        pooling={"token": "class token", "avg": "mean", "map": "attention"}.get(pooling, pooling),
        registers=getattr(net, "num_reg_tokens", 0),
        norm_epsilon=getattr(getattr(block, "norm1", None), "eps", 0.0),
    )


def _has_patches(net: Any) -> bool:
    """Whether it is a transformer; a ResNet accepts any image size."""
    return hasattr(net, "blocks")


def run(
    net: Any, images: Tensor, requested: frozenset[str], *, indices: dict[str, int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Features [B, D] as from the network's own forward, and the maps of the requested taps."""
    if not requested:
        return net(images), {}
    taps = sorted(requested, key=indices.__getitem__)
    last, maps = net.forward_intermediates(
        images, indices=[indices[tap] for tap in taps], output_fmt="NCHW"
    )
    return net.forward_head(last), dict(zip(taps, maps, strict=True))
