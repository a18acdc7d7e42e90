"""Small vision transformers in the layout of each publisher, and what else its file has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.encoders import clip_vit
from mimic_ray.encoders.aliases import TIMM_ALIASES
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.normalisation import IMAGENET
from mimic_ray.encoders.vit_table import VIT_ENCODERS
from tests.encoders.published_vit import (
    DEPTH,
    EMBEDDING,
    PATCH,
    SIDE,
    WIDTH,
    Vit,
    Weights,
    fused,
    renamed,
    shaped,
)
from tests.encoders.published_vit_keys import (
    HF_CLIP,
    HF_DINOV2,
    HF_DINOV3,
    HF_DINOV3_5,
    HF_VIT,
    HF_VIT_5,
    LAYER,
    OPENAI,
    facebook,
)

TOKEN = (1, 1, WIDTH)
FIRST = {"cls": TOKEN, "dist": TOKEN, "registers": (1, 4, WIDTH)}


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def first(w: Weights) -> Weights:
    """Tokens and positions with a leading dimension of 1."""
    count = len(w["positions"]) if "positions" in w else 0
    return shaped(w, **FIRST, positions=(1, count, WIDTH), **{"pool.probe": TOKEN})


def hf(names: dict[str, str], prefix: str = "") -> Callable[[Weights], Weights]:
    return lambda w: renamed(first(w), names, prefix)


def hf_clip(w: Weights) -> Weights:
    names = {key: f"vision_model.{name}" for key, name in HF_CLIP.items()}
    return renamed(w, names | {"projection": "visual_projection.weight"})


def hf_siglip(w: Weights) -> Weights:
    w = shaped(w, **{"pool.probe": TOKEN})
    pool = {key: value for key, value in w.items() if key.startswith("pool")}
    rest = {key: value for key, value in w.items() if key not in pool}
    return renamed(rest | fused(pool), HF_CLIP, "vision_model.")


def openai(w: Weights) -> Weights:
    return renamed(fused(w) | transposed(w), OPENAI, "visual.")


def transposed(w: Weights) -> Weights:
    return {"projection": w["projection"].T.contiguous()} if "projection" in w else {}


def gated(names: dict[str, str], down: str) -> Callable[[Weights], Weights]:
    """A DINOv2 with a gated MLP, whose gate comes first."""

    def stored(w: Weights) -> Weights:
        whole = fused(first(w), "gate up", "in")
        return renamed(whole if "q" in names else fused(whole), names | {"down": down})

    return stored


def plain(prefix: str = "", **names: str) -> Callable[[Weights], Weights]:
    return lambda w: renamed(fused(first(w)), facebook() | names, prefix)


def chunks(w: Weights) -> Weights:
    """Two chunks of one block each; the number of a block counts through all chunks."""
    return {
        key.replace("blocks.", f"backbone.blocks.{key.split('.')[1]}.")
        if key.startswith("blocks")
        else f"backbone.{key}": value
        for key, value in plain()(w).items()
    }


def dinov3(w: Weights) -> Weights:
    names = {"registers": "storage_tokens", "norm": "norm"}
    if "0.gate.weight" in w:
        names |= {"up": "blocks.{}.mlp.w2", "down": "blocks.{}.mlp.w3"}
    return plain(**names)(w)


def tiny(name: str, side: int = SIDE) -> Encoder:
    """An encoder of the registry in a small size."""
    import timm

    from mimic_ray.encoders import timm_family, vit_variants

    sizes = {"embed_dim": WIDTH, "depth": DEPTH, "patch_size": PATCH, "img_size": side}
    row = VIT_ENCODERS.get(name)
    if row is not None and row.family == "clip":
        small = {"patch": PATCH, "width": WIDTH, "depth": DEPTH, "heads": 4, "hidden": None}
        if row.settings.get("embedding", EMBEDDING):
            small["embedding"] = EMBEDDING
        return clip_vit.make(name, clip_vit.Tower(**row.settings | small), row.statistics, side)
    settings = dict(row.settings) if row else {"timm_name": TIMM_ALIASES[name]}
    settings |= {"num_classes": 0, "num_heads": 4, **sizes}
    if "timm_name" in settings:
        net = timm.create_model(settings.pop("timm_name"), pretrained=False, **settings)
    else:
        net = getattr(vit_variants, row.family)(**settings)
    return timm_family.encoder(name, net, side, *(row.statistics if row else IMAGENET))


@dataclass(frozen=True)
class Case:
    encoder: str
    vit: Vit
    stored: Callable[[Weights], Weights]
    extra: dict[str, tuple[int, ...]] = field(default_factory=dict)  # other tensors of the file


DINOV2 = Vit(scales=True)
REGISTERS = Vit(scales=True, registers=4)
GATED = Vit(scales=True, registers=4, gated=85)  # int(32 * 2 * 2.66667) // 2
DINOV3 = Vit(scales=True, registers=4, positions=False, unbiased="k", epsilon=1e-5)
DINOV3_GATED = replace(DINOV3, gated=128)
DINOV3_7B = replace(DINOV3, gated=64, unbiased="qkv")
IJEPA = Vit(tokens=(), pooling="patches")
CLIP = Vit(pre_norm=True, projection=True, activation=quick_gelu, epsilon=1e-5)
OPENCLIP = Vit(pre_norm=True, projection=True, epsilon=1e-5)
POOLED = Vit(pre_norm=True, activation=quick_gelu, epsilon=1e-5)
SIGLIP = Vit(tokens=(), pooling="attention", activation=gelu_tanh)
MASKS = {f"blocks.{i}.attn.qkv.bias_mask": (3 * WIDTH,) for i in range(DEPTH)}
TEXT = {"text_model.encoder.layers.0.mlp.fc1.weight": (4, 4), "logit_scale": ()}

CASES = {
    "Hugging Face ViT": Case(
        "vit_s16", Vit(epsilon=1e-12), hf(HF_VIT, "vit."), {"classifier.weight": (10, WIDTH)}
    ),
    "Hugging Face ViT, transformers 5": Case("vit_b16", Vit(), hf(HF_VIT_5, "vit.")),
    "Hugging Face DINOv3, transformers 5": Case("dinov3_b16", DINOV3, hf(HF_DINOV3_5)),
    "Hugging Face DINOv3 plus, transformers 5": Case(
        "dinov3_h16plus", DINOV3_GATED, hf(HF_DINOV3_5)
    ),
    "Hugging Face DeiT": Case(
        "deit_s16_distilled_class", Vit(tokens=("cls", "dist")), hf(HF_VIT, "deit.")
    ),
    "Hugging Face DINOv2": Case(
        "dinov2_s14", DINOV2, hf(HF_DINOV2), {"embeddings.mask_token": (1, WIDTH)}
    ),
    "Hugging Face DINOv2 with registers": Case("dinov2_s14_reg4", REGISTERS, hf(HF_DINOV2)),
    "Hugging Face DINOv2 giant": Case(
        "dinov2_g14_reg4", GATED, gated(HF_DINOV2, f"{LAYER}mlp.weights_out")
    ),
    "Hugging Face DINOv3": Case(
        "dinov3_s16", DINOV3, hf(HF_DINOV3), {"embeddings.mask_token": (1, 1, WIDTH)}
    ),
    "Hugging Face DINOv3 plus": Case("dinov3_s16plus", DINOV3_GATED, hf(HF_DINOV3)),
    "Hugging Face CLIP": Case("clip_vit_l14", CLIP, hf_clip, TEXT),
    "Hugging Face CLIP, plain GELU": Case("openclip_vit_h14", OPENCLIP, hf_clip, TEXT),
    "Hugging Face CLIP tower": Case("clip_vit_b32_unprojected", POOLED, hf_clip),
    "Hugging Face CLIP tower without its module": Case(
        "clip_vit_b32_unprojected", POOLED, lambda w: renamed(w, HF_CLIP)
    ),
    "Hugging Face SigLIP": Case("siglip_b16", SIGLIP, hf_siglip, TEXT),
    "OpenAI CLIP": Case("clip_vit_b32", CLIP, openai, {"transformer.resblocks.0.ln_1.bias": (8,)}),
    "OpenCLIP": Case("openclip_vit_g14", OPENCLIP, openai),
    "OpenCLIP, plus": Case("openclip_vit_b16plus", OPENCLIP, openai),
    "DINO": Case("dino_s16", Vit(), plain("backbone."), {"head.mlp.0.weight": (4, WIDTH)}),
    "MoCo v3": Case(
        "moco_vit_s16",
        Vit(),
        plain("module.base_encoder."),
        {"module.base_encoder.head.0.weight": (4, WIDTH)},
    ),
    "MAE with global_pool": Case("mae_b16_mean", Vit(pooling="mean"), plain(norm="fc_norm")),
    "DeiT, distilled": Case(
        "deit_s16_distilled", Vit(tokens=("cls", "dist"), pooling="both"), plain()
    ),
    "DeiT III": Case(
        "deit3_s16",
        Vit(scales=True, class_position=False),
        plain(s1="blocks.{}.gamma_1", s2="blocks.{}.gamma_2"),
    ),
    "DINOv2 with registers": Case(
        "dinov2_s14_reg4", REGISTERS, plain(), {"mask_token": (1, WIDTH)}
    ),
    "DINOv2 in chunks": Case("dinov2_s14", DINOV2, chunks),
    "DINOv2 giant": Case("dinov2_g14_reg4", GATED, gated(facebook(), "blocks.{}.mlp.w3")),
    "DINOv3": Case("dinov3_s16", DINOV3, dinov3, {**MASKS, "rope_embed.periods": (2,)}),
    "DINOv3 plus": Case("dinov3_s16plus", DINOV3_GATED, dinov3),
    "DINOv3 7B": Case("dinov3_7b16", DINOV3_7B, dinov3, {"local_cls_norm.weight": (WIDTH,)}),
    "Hugging Face DINOv3 7B": Case("dinov3_7b16", DINOV3_7B, hf(HF_DINOV3)),
    "I-JEPA": Case("ijepa_h14", IJEPA, plain("module.")),
    "Hugging Face I-JEPA": Case("ijepa_h14", IJEPA, hf(HF_VIT)),
}
