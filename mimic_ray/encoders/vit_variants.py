"""Vision transformers of timm with a change that timm has no setting for."""

from __future__ import annotations

import torch
from timm.layers import SwiGLUPacked
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


class RegisteredVit(VisionTransformer):
    """DINOv2 with register tokens as its publisher stores it.

    The position of the class token is in the table, where timm adds it to the token. Source:
    facebookresearch/dinov2, Darcet et al., arXiv 2309.16588.
    """

    def __init__(self, registers: int, gated: bool = False, **sizes: int) -> None:
        # 2/3 of 4 times the width, in both halves of the gated MLP; see timm's vit_giant.
        mlp = {"mlp_ratio": 2.66667 * 2, "mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
        super().__init__(init_values=1e-5, **sizes, **(mlp if gated else {}))
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, self.embed_dim))
        nn.init.normal_(self.register_tokens, std=1e-6)
        self.num_prefix_tokens += registers
        self.num_reg_tokens = registers

    def _pos_embed(self, x: Tensor) -> Tensor:
        tokens: Tensor = super()._pos_embed(x)
        registers = self.register_tokens.expand(len(tokens), -1, -1)
        return torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)


class ClassTokenDeit(VisionTransformerDistilled):
    """DeiT with a distillation token, whose feature is the class token, as in Hugging Face's.

    timm averages both tokens.
    """

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:  # noqa: ARG002 - timm's
        return x[:, 0]


class ConvStem(nn.Module):
    """Images [B, 3, S, S] -> tokens [B, (S / 16)^2, width], by convolutions instead of patches.

    Source: Xiao et al., arXiv 2106.14881, as facebookresearch/moco-v3 uses it.
    """

    def __init__(self, img_size: int, embed_dim: int, **_settings: object) -> None:
        super().__init__()
        self.grid_size = (img_size // 16, img_size // 16)
        self.num_patches = self.grid_size[0] ** 2
        parts: list[nn.Module] = []
        channels = 3
        for width in (embed_dim // 8, embed_dim // 4, embed_dim // 2, embed_dim):
            parts.append(nn.Conv2d(channels, width, 3, 2, padding=1, bias=False))
            parts += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.proj = nn.Sequential(*parts, nn.Conv2d(embed_dim, embed_dim, 1))

    def dynamic_feat_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The grid of an image, under the name that timm calls it by."""
        return size[0] // 16, size[1] // 16

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.proj(images)
        return tokens.flatten(2).transpose(1, 2)


class ConvVit(VisionTransformer):
    """MoCo v3's transformer with a convolutional stem and one block less."""

    def __init__(self, **sizes: int) -> None:
        super().__init__(embed_layer=ConvStem, **sizes)
