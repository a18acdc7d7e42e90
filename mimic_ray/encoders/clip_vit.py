"""CLIP's image transformers in OpenAI's key layout (the keys below `visual.` in its files).

The feature is the projected image embedding, before CLIP normalises its length. The text tower is
not part of the encoder.

Source: Radford et al., arXiv 2103.00020, section 2.4; key names of openai/CLIP.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.normalisation import CLIP
from mimic_ray.encoders.sizes import require_whole_patches
from mimic_ray.encoders.traits import Traits

SIDE = 224
HEAD_WIDTH = 64


class QuickGelu(nn.Module):
    """x * sigmoid(1.702 x), as in OpenAI's training; it differs from GELU by up to 0.02."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class TransformerBlock(nn.Module):
    """Tokens [B, N, width] -> the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // HEAD_WIDTH, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", QuickGelu())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.ln_1(tokens)
        tokens = tokens + self.attn(x, x, x, need_weights=False)[0]
        return tokens + self.mlp(self.ln_2(tokens))


class ClipVit(nn.Module):
    """Images [B, 3, size, size] -> embeddings [B, embedding]."""

    def __init__(
        self,
        patch: int,
        width: int = 768,
        depth: int = 12,
        embedding: int = 512,
        size: int = SIDE,
    ) -> None:
        super().__init__()
        self.grid = size // patch
        scale = width**-0.5
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(self.grid**2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(TransformerBlock(width) for _ in range(depth))
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, embedding))

    def forward(self, images: Tensor) -> Tensor:
        return run(self, images, frozenset())[0]


def run(net: Any, images: Tensor, requested: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Projected class token [B, D]; patch tokens of the requested blocks as maps."""
    maps = {}
    patches = net.conv1(images).flatten(2).transpose(1, 2)
    first = net.class_embedding.expand(len(images), 1, -1)
    tokens = net.ln_pre(torch.cat([first, patches], dim=1) + net.positional_embedding)
    for index, block in enumerate(net.transformer.resblocks):
        tokens = block(tokens)
        if f"block{index}" in requested:
            maps[f"block{index}"] = tokens[:, 1:].transpose(1, 2).unflatten(2, (net.grid, net.grid))
    return net.ln_post(tokens[:, 0]) @ net.proj, maps


def clip_vit_b32(size: int = SIDE) -> Encoder:
    return _encoder("clip_vit_b32", 32, size)


def clip_vit_b16(size: int = SIDE) -> Encoder:
    return _encoder("clip_vit_b16", 16, size)


def _encoder(name: str, patch: int, size: int) -> Encoder:
    require_whole_patches(name, size, patch)
    spec = Spec(
        name,
        feature_width=512,
        input_size=size,
        mean=CLIP.mean,
        std=CLIP.std,
        taps=tuple(f"block{index}" for index in range(12)),
        blocks=("transformer.resblocks.*",),
        traits=Traits(768 // HEAD_WIDTH, "QuickGELU", "class token", norm_epsilon=1e-5),
    )
    return Encoder(spec, ClipVit(patch, size=size), run)
