"""Every image model of timm that gives its inner maps, under its timm name, with or without a tag.

A tag (`vit_small_patch16_224.dino`) selects a publisher's weights, and with them the statistics of
the input. Nothing is downloaded. Taps come from timm's `forward_intermediates`: each `block<i>` of
a transformer with a single grid of patches, whose tokens are the map, and the last four maps of any
other network as `layer1` to `layer4`.
"""

from __future__ import annotations

import sys
from functools import cache, partial
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg, model_entrypoint
from timm.models.deit import VisionTransformerDistilled
from torch import Tensor, nn

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.meta_device import meta_device
from mimic_ray.encoders.normalisation import Normalisation
from mimic_ray.encoders.sizes import joined, require_whole_patches
from mimic_ray.encoders.traits import Traits

# Maps of a network without a single grid of patches: those of strides 4 to 32 in most.
_MAPS = 4
# Its forward pass reads values of tensors, so it cannot be traced.
_EXCLUDED = "timm.models.gemma4_vit"
# Part of a larger model: without a feature vector, since its `forward_head` raises.
_PART = "_enc"


@cache
def names(tagged: bool = False) -> tuple[str, ...]:
    """The names that `build` accepts, all without or all with tags. Square inputs only."""
    listed = timm.list_models(include_tags=tagged)
    return tuple(name for name in listed if _gives_maps(name) and _is_square(name))


def _gives_maps(name: str) -> bool:
    """Whether the module of its network has a class with `forward_intermediates`."""
    plain = name.partition(".")[0]
    module = model_entrypoint(plain).__module__
    return module != _EXCLUDED and not plain.endswith(_PART) and _module_gives_maps(module)


@cache
def _module_gives_maps(module: str) -> bool:
    members = vars(sys.modules[module]).values()
    return any(
        isinstance(each, type) and hasattr(each, "forward_intermediates") for each in members
    )


def _is_square(name: str) -> bool:
    config = get_pretrained_cfg(name)
    return config is not None and config.input_size[1] == config.input_size[2]


def input_size(timm_name: str) -> int:
    """The side in pixels of the images that the pretrained weights are for."""
    size: int = get_pretrained_cfg(timm_name).input_size[1]
    return size


def supports(timm_name: str) -> bool:
    return timm_name in names() or timm_name in names(tagged=True)


def build(
    timm_name: str,
    name: str,
    size: int | None = None,
    statistics: Normalisation | None = None,
    **changes: Any,
) -> Encoder:
    """The encoder with random weights, for images of `size` pixels or its default size. `name` is
    the name that the user gave, `changes` go to timm's constructor.

    Raises UsageError if the size is not a multiple of the patches, or the network takes only its
    own.
    """
    net = timm.create_model(timm_name, pretrained=False, num_classes=0, **changes)
    config = net.pretrained_cfg
    default_size = config["input_size"][1]
    if size is not None and size != default_size:
        if _has_patches(net):
            require_whole_patches(name, size, default_size // net.patch_embed.grid_size[0])
            changes["img_size"] = size
            net = timm.create_model(timm_name, pretrained=False, num_classes=0, **changes)
        elif config.get("fixed_input_size"):
            net = _at_size(timm_name, name, size, default_size)
    mean, std = statistics or (config["mean"], config["std"])
    return encoder(name, net, size or default_size, mean, std)


def _at_size(timm_name: str, name: str, size: int, default_size: int) -> Any:
    """A network with windows or tables for its default size, built for another and tried."""

    def make() -> Any:
        return timm.create_model(timm_name, pretrained=False, num_classes=0, img_size=size)

    try:
        with meta_device(), torch.no_grad():
            make()(torch.empty(2, 3, size, size))
    except Exception:  # each family has its own
        raise UsageError(
            f"{name} cannot be built for {size} pixels: use {joined(name, default_size)}."
        ) from None
    return make()


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
    count = len(net.feature_info)
    kept = range(max(0, count - _MAPS), count)
    return {f"layer{number}": index for number, index in enumerate(kept, 1)}


def _blocks(net: Any) -> tuple[str, ...]:
    if _has_patches(net):  # a hybrid's patches come from a ResNet
        return ("blocks.*", "patch_embed.backbone.stages.*.blocks.*")
    if hasattr(net, "layer1"):
        return ("layer*.*",)
    for stages in ("stages", "layers", "blocks"):
        if hasattr(net, stages):
            first = getattr(net, stages)[0]
            if hasattr(first, "blocks"):
                return (f"{stages}.*.blocks.*",)
            nested = isinstance(first, nn.Sequential | nn.ModuleList)
            return (f"{stages}.*.*",) if nested else (f"{stages}.*",)
    return ()


def _traits(net: Any) -> Traits:
    if not _has_patches(net):
        norm = next((m for m in net.modules() if isinstance(m, nn.BatchNorm2d)), None)
        same = any("same" in type(module).__name__.lower() for module in net.modules())
        epsilon = norm.eps if norm and norm.eps != nn.BatchNorm2d(1).eps else 0.0
        return Traits(padding="same" if same else _stem_padding(net), norm_epsilon=epsilon)
    block = net.blocks[0]
    activation = getattr(getattr(block, "mlp", None), "act", None)
    pooling = getattr(net, "global_pool", "")
    if type(net) is VisionTransformerDistilled:
        pooling = "class and distillation token"
    return Traits(
        heads=getattr(getattr(block, "attn", None), "num_heads", 0),
        activation=type(activation).__name__ if activation is not None else "",
        pooling={"token": "class token", "avg": "mean", "map": "attention"}.get(pooling, pooling),
        registers=getattr(net, "num_reg_tokens", 0),
        norm_epsilon=getattr(getattr(block, "norm1", None), "eps", 0.0),
    )


def _stem_padding(net: Any) -> str:
    """Of a ResNet, whose publishers differ in it."""
    conv = getattr(net, "conv1", None)
    return f"{conv.padding[0]} in the stem" if isinstance(conv, nn.Conv2d) else ""


def _has_patches(net: Any) -> bool:
    """Whether it is a transformer with one grid of patches and a map after each block."""
    return hasattr(net, "patch_embed") and len(getattr(net, "blocks", ())) == len(net.feature_info)


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
