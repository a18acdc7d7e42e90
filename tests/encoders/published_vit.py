"""A vision transformer in plain torch, and its weights under the key names of each publisher.

The computation is written from the papers and the names from the publishers' model definitions,
both apart from the package: tests compare it with the package's network and tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

WIDTH, DEPTH, PATCH, SIDE, HIDDEN, EMBEDDING = 32, 2, 8, 32, 128, 24
GRID = SIDE // PATCH
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Vit:
    """What a publisher's network has beside patches, attention and an MLP."""

    heads: int = 4
    activation: Callable[[Tensor], Tensor] = F.gelu
    epsilon: float = 1e-6
    tokens: tuple[str, ...] = ("cls",)  # with a position, in front of the patches
    registers: int = 0  # without one, behind the class token
    positions: bool = True
    scales: bool = False
    gated: int = 0  # hidden width of a gated MLP
    pre_norm: bool = False
    unbiased: str = ""  # of q, k and v, those without a bias
    projection: bool = False
    pooling: str = "class"  # "both", "mean", "patches", "attention"
    class_position: bool = True  # the first token has one

    def weights(self) -> Weights:
        """Random weights by the names of this file."""
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator) * 0.3

        found = {"patch.weight": random(WIDTH, 3, PATCH, PATCH)}
        if not self.pre_norm:
            found["patch.bias"] = random(WIDTH)
        found |= {token: random(WIDTH) for token in self.tokens}
        if self.registers:
            found["registers"] = random(self.registers, WIDTH)
        if self.positions:
            rows = GRID**2 + len(self.tokens) * self.class_position
            found["positions"] = random(rows, WIDTH)

        def linear(name: str, rows: int, columns: int) -> Weights:
            return {f"{name}.weight": random(rows, columns), f"{name}.bias": random(rows)}

        def norm(name: str) -> Weights:
            return {f"{name}.weight": 1 + random(WIDTH), f"{name}.bias": random(WIDTH)}

        norms = [f"{i}.{part}" for i in range(DEPTH) for part in ("n1", "n2")] + ["norm"]
        for name in [*norms, *(["pre"] if self.pre_norm else [])]:
            found |= norm(name)
        for i in range(DEPTH):
            for part in "qkvo":
                found |= linear(f"{i}.{part}", WIDTH, WIDTH)
            for part in self.unbiased:
                del found[f"{i}.{part}.bias"]
            if self.gated:
                found |= linear(f"{i}.gate", self.gated, WIDTH)
                found |= linear(f"{i}.up", self.gated, WIDTH)
            else:
                found |= linear(f"{i}.up", HIDDEN, WIDTH)
            found |= linear(f"{i}.down", WIDTH, self.gated or HIDDEN)
            if self.scales:
                found |= {f"{i}.s1": random(WIDTH), f"{i}.s2": random(WIDTH)}
        if self.projection:
            found["projection"] = random(EMBEDDING, WIDTH)
        if self.pooling == "attention":
            found["pool.probe"] = random(WIDTH)
            found |= norm("pool.norm") | linear("pool.up", HIDDEN, WIDTH)
            found |= linear("pool.down", WIDTH, HIDDEN)
            for part in "qkvo":
                found |= linear(f"pool.{part}", WIDTH, WIDTH)
        return found

    def features(self, w: Weights, images: Tensor) -> Tensor:
        """Normalised images [B, 3, SIDE, SIDE] -> features [B, D]."""

        def linear(name: str, x: Tensor) -> Tensor:
            return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

        def norm(name: str, x: Tensor) -> Tensor:
            return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], self.epsilon)

        def attention(name: str, query: Tensor, x: Tensor) -> Tensor:
            parts = [linear(f"{name}.q", query), linear(f"{name}.k", x), linear(f"{name}.v", x)]
            q, k, v = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
            if not self.positions:
                q, k = self._rotated(q), self._rotated(k)
            scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(dim=-1)
            return linear(f"{name}.o", (scores @ v).transpose(1, 2).flatten(2))

        def mlp(name: str, x: Tensor) -> Tensor:
            inner = linear(f"{name}.up", x)
            if self.gated:
                inner = F.silu(linear(f"{name}.gate", x)) * inner
            else:
                inner = self.activation(inner)
            return linear(f"{name}.down", inner)

        patches = F.conv2d(images, w["patch.weight"], w.get("patch.bias"), stride=PATCH)
        tokens = [w[token].expand(len(images), 1, WIDTH) for token in self.tokens]
        x = torch.cat([*tokens, patches.flatten(2).transpose(1, 2)], dim=1)
        if self.positions:
            skipped = x.shape[1] - len(w["positions"])
            x = x + F.pad(w["positions"], (0, 0, skipped, 0))
        if self.registers:
            registers = w["registers"].expand(len(images), -1, WIDTH)
            x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)
        if self.pre_norm:
            x = norm("pre", x)
        for i in range(DEPTH):
            h = norm(f"{i}.n1", x)
            x = x + w.get(f"{i}.s1", torch.ones(())) * attention(str(i), h, h)
            x = x + w.get(f"{i}.s2", torch.ones(())) * mlp(str(i), norm(f"{i}.n2", x))
        if self.pooling == "mean":
            return norm("norm", x[:, 1:].mean(dim=1))
        x = norm("norm", x)
        if self.pooling == "attention":
            x = attention("pool", w["pool.probe"].expand(len(x), 1, WIDTH), x)
            return (x + mlp("pool", norm("pool.norm", x)))[:, 0]
        if self.pooling == "patches":
            return x.mean(dim=1)
        feature = (x[:, 0] + x[:, 1]) / 2 if self.pooling == "both" else x[:, 0]
        return feature @ w["projection"].T if self.projection else feature

    def _rotated(self, x: Tensor) -> Tensor:
        """DINOv3's rotary positions of [B, heads, N, width]; arXiv 2508.10104, section 3.2."""
        prefix = x.shape[2] - GRID**2
        width = x.shape[-1]
        periods = 100 ** (2 * torch.arange(width // 4) / (width // 2))
        centres = 2 * (torch.arange(GRID) + 0.5) / GRID - 1
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        at = torch.stack([rows.flatten(), columns.flatten()], dim=-1)
        angles = (2 * math.pi * at[:, :, None] / periods).flatten(1).tile(2)
        patches = x[:, :, prefix:]
        first, second = patches.chunk(2, dim=-1)
        turned = torch.cat([-second, first], dim=-1)
        patches = patches * angles.cos() + turned * angles.sin()
        return torch.cat([x[:, :, :prefix], patches], dim=2)


def renamed(w: Weights, names: Mapping[str, str], prefix: str = "") -> Weights:
    """The weights under a publisher's names: by name of the part, `{}` for the block."""
    found = {}
    for key, value in w.items():
        name, dot, kind = key.partition(".weight") if ".weight" in key else key.partition(".bias")
        block, _, part = name.partition(".") if name[0].isdigit() else ("", "", name)
        full = prefix + names[part].format(block) + dot + kind
        found[full.replace("in_proj.", "in_proj_")] = value  # as nn.MultiheadAttention has it
    return found


def fused(w: Weights, parts: str = "q k v", whole: str = "qkv") -> Weights:
    """The named parts of each block, and of the pooling, joined along the first dimension."""
    found = dict(w)
    for place in [*map(str, range(DEPTH)), "pool"]:
        for kind in (".weight", ".bias"):
            keys = [f"{place}.{part}{kind}" for part in parts.split()]
            if keys[0] in w and keys[-1] in w:
                middle = torch.full_like(w[keys[0]], 7.0)  # of a key's bias that is masked
                found[f"{place}.{whole}{kind}"] = torch.cat([w.get(k, middle) for k in keys])
                for key in keys:
                    found.pop(key, None)
    return found


def shaped(w: Weights, **shapes: tuple[int, ...]) -> Weights:
    return {key: value.reshape(shapes.get(key, value.shape)) for key, value in w.items()}
