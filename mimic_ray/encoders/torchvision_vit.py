"""torchvision's vision transformers under torchvision's key names, without their `heads`.

torchvision's ResNets have timm's names and keys, so they need no file here.
"""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.normalisation import IMAGENET
from mimic_ray.encoders.sizes import require_whole_patches
from mimic_ray.encoders.traits import Traits


def run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Class token after the last norm [B, D]; patch tokens of the requested blocks as maps."""
    maps = {}
    side = images.shape[-1] // net.patch_size
    patches = net.conv_proj(images).flatten(2).transpose(1, 2)
    tokens = torch.cat([net.class_token.expand(len(images), -1, -1), patches], dim=1)
    tokens = net.encoder.dropout(tokens + net.encoder.pos_embedding)
    for index, block in enumerate(net.encoder.layers):
        tokens = block(tokens)
        if f"block{index}" in requested:
            maps[f"block{index}"] = tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    return net.encoder.ln(tokens)[:, 0], maps


def make(name: str, patch: int, size: int) -> Encoder:
    """torchvision's transformer of that name with random weights, for images of `size` pixels.

    Raises UsageError if the size is not a multiple of the patches.
    """
    require_whole_patches(name, size, patch)
    net = torchvision.models.get_model(name, weights=None, image_size=size)
    net.heads = nn.Identity()
    spec = Spec(
        name,
        feature_width=net.hidden_dim,
        input_size=size,
        mean=IMAGENET.mean,
        std=IMAGENET.std,
        taps=tuple(f"block{index}" for index in range(len(net.encoder.layers))),
        blocks=("encoder.layers.*",),
        traits=Traits(net.encoder.layers[0].num_heads, "GELU", "class token", norm_epsilon=1e-6),
    )
    return Encoder(spec, net, run)
