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
