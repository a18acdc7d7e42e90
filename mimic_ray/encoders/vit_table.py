"""Vision transformers as a table: the network, its images, and who publishes such files.

Only what timm does not have under a name of its own, or pools or activates in another way than the
publisher; for the others see aliases.py. vit_builder.py builds them. Imports no torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mimic_ray.encoders.normalisation import CLIP, HALF, IMAGENET, Normalisation


class VitEncoder(NamedTuple):
    """One encoder.

    Attributes:
        family: "clip", "timm", "torchvision", or a class of vit_variants.py.
        settings: Arguments of `clip_vit.Tower`, `timm_family.build` or the class.
        statistics: Of the images in the training of the publisher.
        source: Who publishes such weights.
        side: Of the images, in pixels.
    """

    family: str
    settings: dict[str, Any]
    statistics: Normalisation
    source: str
    side: int = 224


# Size: width, depth, heads.
_SIZES = {
    "ti": (192, 12, 3),
    "s": (384, 12, 6),
    "b": (768, 12, 12),
    "l": (1024, 24, 16),
    "g": (1536, 40, 24),
}
_TIMM_WORDS = {"ti": "tiny", "s": "small", "b": "base", "l": "large", "h": "huge"}

_L14 = {"patch": 14, "width": 1024, "depth": 24, "heads": 16, "embedding": 768}
_H14 = {"patch": 14, "width": 1280, "depth": 32, "heads": 16, "embedding": 1024}
_CLIP: dict[str, dict[str, Any]] = {
    "b32": {"patch": 32},
    "b16": {"patch": 16},
    "l14": _L14,
    "h14": _H14,
    "g14": {
        "patch": 14,
        "width": 1408,
        "depth": 40,
        "heads": 16,
        "hidden": 6144,
        "embedding": 1024,
    },
    "bigg14": {
        "patch": 14,
        "width": 1664,
        "depth": 48,
        "heads": 16,
        "hidden": 8192,
        "embedding": 1280,
    },
}
_QUICK = ("b32", "b16", "l14", "h14")  # trained with QuickGELU
_PLAIN = {"activation": "GELU"}
_TOKEN = {"embedding": None}


def _clip() -> dict[str, VitEncoder]:
    rows = {}
    for size, tower in _CLIP.items():
        for prefix, kind, source in (
            ("clip", {}, "OpenAI CLIP, DFN, MetaCLIP: QuickGELU"),
            ("openclip", _PLAIN, "OpenCLIP: plain GELU"),
        ):
            if prefix == "clip" and size not in _QUICK:
                continue
            rows[f"{prefix}_vit_{size}"] = VitEncoder("clip", {**tower, **kind}, CLIP, source)
            if size in _QUICK:
                rows[f"{prefix}_vit_{size}_unprojected"] = VitEncoder(
                    "clip", {**tower, **kind, **_TOKEN}, CLIP, f"{source}, tower without projection"
                )
    rows["openclip_vit_b16plus"] = VitEncoder(
        "clip",
        {"patch": 16, "width": 896, "heads": 14, "embedding": 640, **_PLAIN},
        CLIP,
        "OpenCLIP: plain GELU",
        240,
    )
    return rows


def _timm(
    timm_name: str, statistics: Normalisation, source: str, side: int = 224, **changes: Any
) -> VitEncoder:
    return VitEncoder("timm", {"timm_name": timm_name, **changes}, statistics, source, side)


def _sizes(size: str, patch: int) -> dict[str, int]:
    width, depth, heads = _SIZES[size]
    return {"embed_dim": width, "depth": depth, "num_heads": heads, "patch_size": patch}


def _dino() -> dict[str, VitEncoder]:
    rows = {}
    for size in ("s", "b", "l", "g"):
        rows[f"dinov2_{size}14_reg4"] = VitEncoder(
            "RegisteredVit",
            {**_sizes(size, patch=14), "registers": 4, "gated": size == "g"},
            IMAGENET,
            "DINOv2 with 4 register tokens",
            518,
        )
    for size, word in (
        *(("s16", "small"), ("s16plus", "small_plus"), ("b16", "base")),
        *(("l16", "large"), ("h16plus", "huge_plus")),
    ):
        rows[f"dinov3_{size}"] = _timm(
            f"vit_{word}_patch16_dinov3_qkvb", IMAGENET, "DINOv3", 256, global_pool="token"
        )
        if "plus" not in size:
            rows[f"dinov3_{size}_timm"] = _timm(
                f"vit_{word}_patch16_dinov3",
                IMAGENET,
                "DINOv3 in timm's files, without biases of q, k and v",
                256,
                global_pool="token",
            )
    rows["dinov3_7b16"] = _timm(
        "vit_7b_patch16_dinov3", IMAGENET, "DINOv3", 256, global_pool="token"
    )
    return rows


def _others() -> dict[str, VitEncoder]:
    rows = {
        "moco_vit_s16": _timm("vit_small_patch16_224", IMAGENET, "MoCo v3", num_heads=12),
        "moco_vit_b16": _timm("vit_base_patch16_224", IMAGENET, "MoCo v3"),
        **{
            f"moco_vit_conv_{size}16": VitEncoder(
                "ConvVit",
                {**_sizes(size, patch=16), "depth": 11, "num_heads": 12},
                IMAGENET,
                "MoCo v3 with a convolutional stem",
            )
            for size in ("s", "b")
        },
        "siglip_b16": _timm(
            "vit_base_patch16_siglip_224", HALF, "SigLIP, SigLIP 2", act_layer="gelu_tanh"
        ),
        "siglip_l16": _timm(
            "vit_large_patch16_siglip_256", HALF, "SigLIP, SigLIP 2", 256, act_layer="gelu_tanh"
        ),
        "siglip_so400m14": _timm(
            "vit_so400m_patch14_siglip_224", HALF, "SigLIP, SigLIP 2", act_layer="gelu_tanh"
        ),
    }
    for name, timm_name, side in (
        ("ijepa_h14", "vit_huge_patch14_gap_224.in1k_ijepa", 224),
        ("ijepa_h16", "vit_huge_patch16_gap_448.in1k_ijepa", 448),
        ("ijepa_g16", "vit_giant_patch16_gap_224.in22k_ijepa", 224),
    ):
        rows[name] = _timm(timm_name, IMAGENET, "I-JEPA: mean of the patches", side)
    for size, patch in (("b", 16), ("l", 16), ("h", 14)):
        rows[f"mae_{size}{patch}_mean"] = _timm(
            f"vit_{_TIMM_WORDS[size]}_patch{patch}_224.mae",
            IMAGENET,
            "MAE fine-tuned with global_pool: mean of the patches, then fc_norm",
            global_pool="avg",
        )
    for size in ("ti", "s", "b"):
        rows[f"deit_{size}16_distilled"] = _timm(
            f"deit_{_TIMM_WORDS[size]}_distilled_patch16_224",
            IMAGENET,
            "DeiT: mean of the class token and the distillation token",
        )
        rows[f"deit_{size}16_distilled_class"] = VitEncoder(
            "ClassTokenDeit",
            _sizes(size, patch=16),
            IMAGENET,
            "DeiT of Hugging Face: the class token alone",
        )
    for name in ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"):
        patch_size = {"patch_size": int(name[-2:])}
        rows[name] = VitEncoder("torchvision", patch_size, IMAGENET, "torchvision")
    rows["tiny_vit"] = VitEncoder(
        "VisionTransformer",
        {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 8},
        IMAGENET,
        "for tests and first trials of a command",
        32,
    )
    return rows


VIT_ENCODERS = {**_clip(), **_dino(), **_others()}
