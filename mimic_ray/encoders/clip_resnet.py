"""CLIP's ResNets in OpenAI's key layout (the keys below `visual.` in its files).

Differences from the usual ResNets: three stem convolutions, average pools instead of strides, and
attention instead of the last average. The feature is the image embedding, before CLIP normalises
its length.

Source: Radford et al., arXiv 2103.00020, section 2.4; key names of openai/CLIP.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mimic_ray.encoders.conv_net import ConvNet
from mimic_ray.encoders.traits import Traits

STRIDE = 32  # of the last map; the attention has a table of its positions
HEAD_WIDTH = 64


class Bottleneck(nn.Module):
    """[B, C, H, W] -> [B, 4 * width, H / stride, W / stride]; strides are average pools."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(stride)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = nn.Sequential()
        if stride > 1 or channels_in != 4 * width:
            self.downsample.add_module("-1", nn.AvgPool2d(stride))
            self.downsample.add_module("0", nn.Conv2d(channels_in, 4 * width, 1, bias=False))
            self.downsample.add_module("1", nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        change = F.relu(self.bn1(self.conv1(x)))
        change = F.relu(self.bn2(self.conv2(change)))
        change = self.bn3(self.conv3(self.avgpool(change)))
        return F.relu(change + self.downsample(x))


class AttentionPool(nn.Module):
    """Map [B, C, H, W] -> [B, embedding]: the mean is the query; it and all positions are keys."""

    def __init__(self, grid: int, channels: int, embedding: int) -> None:
        super().__init__()
        scale = channels**-0.5
        self.positional_embedding = nn.Parameter(scale * torch.randn(grid**2 + 1, channels))
        self.k_proj = nn.Linear(channels, channels)
        self.q_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, embedding)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        tokens = tokens + self.positional_embedding
        query, key, value = (
            project(part).unflatten(2, (-1, HEAD_WIDTH)).transpose(1, 2)
            for project, part in (
                (self.q_proj, tokens[:, :1]),
                (self.k_proj, tokens),
                (self.v_proj, tokens),
            )
        )
        pooled = F.scaled_dot_product_attention(query, key, value)
        return self.c_proj(pooled.transpose(1, 2).flatten(1))


class ClipResnet(ConvNet):
    """Images [B, 3, S, S] -> embeddings [B, embedding]; by default CLIP's ResNet-50."""

    def __init__(
        self,
        width: int = 64,
        embedding: int = 1024,
        size: int = 224,
        blocks: tuple[int, ...] = (3, 4, 6, 3),
    ) -> None:
        super().__init__()
        self.feature_width = embedding
        self.traits = Traits(32 * width // HEAD_WIDTH, pooling="attention")
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.layer1 = _layer(blocks[0], width, width, stride=1)
        self.layer2 = _layer(blocks[1], 4 * width, 2 * width, stride=2)
        self.layer3 = _layer(blocks[2], 8 * width, 4 * width, stride=2)
        self.layer4 = _layer(blocks[3], 16 * width, 8 * width, stride=2)
        self.attnpool = AttentionPool(size // STRIDE, 32 * width, embedding)

    @classmethod
    def for_size(cls, size: int, **settings: Any) -> Self:
        return cls(size=size, **settings)

    def stem(self, images: Tensor) -> Tensor:
        x = images
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(conv(x)))
        return F.avg_pool2d(x, 2)

    def pooled(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.attnpool(x)
        return embedding


def _layer(blocks: int, channels_in: int, width: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels_in, width, stride)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)))
