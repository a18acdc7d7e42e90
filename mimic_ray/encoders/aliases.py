"""Short names of common timm models: ours -> timm's.

A tag selects a publisher's weights, and with them the input statistics. torchvision's ResNets have
timm's names and keys, so they are listed here too.
"""

from __future__ import annotations

TIMM_ALIASES = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "resnet152": "resnet152",
    "resnext50_32x4d": "resnext50_32x4d",
    "resnext101_32x8d": "resnext101_32x8d",
    "resnext101_64x4d": "resnext101_64x4d",
    "wide_resnet50_2": "wide_resnet50_2",
    "wide_resnet101_2": "wide_resnet101_2",
    "convnext_tiny": "convnext_tiny",
    "convnext_small": "convnext_small",
    "convnext_base": "convnext_base",
    **{
        f"convnextv2_{size}": f"convnextv2_{size}"
        for size in ("atto", "femto", "pico", "nano", "tiny", "base", "large", "huge")
    },
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
    "efficientnet_b0": "efficientnet_b0",
    "tf_efficientnet_b0": "tf_efficientnet_b0",
    "mobilenetv2_100": "mobilenetv2_100",
    "mobilenetv3_large_100": "mobilenetv3_large_100",
    "vit_ti16": "vit_tiny_patch16_224",
    "vit_s16": "vit_small_patch16_224",
    "vit_s32": "vit_small_patch32_224",
    "vit_b16": "vit_base_patch16_224",
    "vit_b32": "vit_base_patch32_224",
    "vit_l16": "vit_large_patch16_224",
    "deit_ti16": "deit_tiny_patch16_224",
    "deit_s16": "deit_small_patch16_224",
    "deit_b16": "deit_base_patch16_224",
    "deit3_s16": "deit3_small_patch16_224",
    "deit3_b16": "deit3_base_patch16_224",
    "deit3_l16": "deit3_large_patch16_224",
    "dino_s8": "vit_small_patch8_224.dino",
    "dino_s16": "vit_small_patch16_224.dino",
    "dino_b8": "vit_base_patch8_224.dino",
    "dino_b16": "vit_base_patch16_224.dino",
    "dinov2_s14": "vit_small_patch14_dinov2.lvd142m",
    "dinov2_b14": "vit_base_patch14_dinov2.lvd142m",
    "dinov2_l14": "vit_large_patch14_dinov2.lvd142m",
    "dinov2_g14": "vit_giant_patch14_dinov2.lvd142m",
    "mae_b16": "vit_base_patch16_224.mae",
    "mae_l16": "vit_large_patch16_224.mae",
    "mae_h14": "vit_huge_patch14_224.mae",
}
