"""CLIP's image transformers in the key layout of OpenAI and OpenCLIP (below `visual.`).

The feature is the projected image embedding, before CLIP normalises its length. The text tower is
not part of the encoder.

Source: Radford et al., arXiv 2103.00020, section 2.4; key names of openai/CLIP; the sizes
and the plain GELU of mlfoundations/open_clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mimic_ray.encoders.encoder import Encoder, Spec
from mimic_ray.encoders.normalisation import Normalisation
from mimic_ray.encoders.sizes import require_whole_patches
from mimic_ray.encoders.traits import Traits

SIDE = 224


@dataclass(frozen=True)
class Tower:
    """Sizes of an image transformer of CLIP.

    Attributes:
        hidden: Width between the two layers of the MLP; None for 4 `width`.
        embedding: Width of the projection; None without it: the feature is the normalised token.
        activation: "QuickGELU" in OpenAI's training, "GELU" in most of OpenCLIP's.
    """

    patch: int
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int | None = None
    embedding: int | None = 512
    activation: str = "QuickGELU"


class QuickGelu(nn.Module):
    """x * sigmoid(1.702 x), as in OpenAI's training; it differs from GELU by up to 0.02."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class TransformerBlock(nn.Module):
    """Tokens [B, N, width] -> the same shape."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        width, hidden = tower.width, tower.hidden or 4 * tower.width
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, tower.heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, hidden))
        self.mlp.add_module("gelu", QuickGelu() if tower.activation == "QuickGELU" else nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(hidden, width))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.ln_1(tokens)
        tokens = tokens + self.attn(x, x, x, need_weights=False)[0]
        return tokens + self.mlp(self.ln_2(tokens))


class ClipVit(nn.Module):
    """Images [B, 3, size, size] -> embeddings [B, embedding]."""

    def __init__(self, tower: Tower, size: int = SIDE) -> None:
        super().__init__()
        width = tower.width
        self.grid = size // tower.patch
        scale = width**-0.5
        self.conv1 = nn.Conv2d(3, width, tower.patch, tower.patch, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(self.grid**2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = nn.Module()
        blocks = nn.ModuleList(TransformerBlock(tower) for _ in range(tower.depth))
        self.transformer.resblocks = blocks
        self.ln_post = nn.LayerNorm(width)
        projection = (width, tower.embedding) if tower.embedding else None
        self.proj = nn.Parameter(scale * torch.randn(projection)) if projection else None

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
    feature = net.ln_post(tokens[:, 0])
    return feature if net.proj is None else feature @ net.proj, maps


def make(name: str, tower: Tower, statistics: Normalisation, size: int = SIDE) -> Encoder:
    """The tower with random weights, for images of `size` pixels.

    Raises UsageError if the size is not a multiple of the patches.
    """
    require_whole_patches(name, size, tower.patch)
    spec = Spec(
        name,
        feature_width=tower.embedding or tower.width,
        input_size=size,
        mean=statistics.mean,
        std=statistics.std,
        taps=tuple(f"block{index}" for index in range(tower.depth)),
        blocks=("transformer.resblocks.*",),
        traits=Traits(tower.heads, tower.activation, "class token", norm_epsilon=1e-5),
    )
    return Encoder(spec, ClipVit(tower, size), run)
