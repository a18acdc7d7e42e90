"""Encoders for tests that run in a millisecond, on the same code paths as large ones."""

from __future__ import annotations

from mimic_ray.encoders import cifar_resnet
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.normalisation import IMAGENET
from mimic_ray.encoders.sizes import require_whole_patches


def tiny_resnet(size: int = 32) -> Encoder:
    """A CIFAR ResNet with one block per layer: maps of 32, 16 and 8 pixels, 32 features."""
    net = cifar_resnet.CifarResnet(blocks=1, widths=(8, 16, 32))
    return cifar_resnet.encoder("tiny_resnet", net, size)


def tiny_vit(size: int = 32) -> Encoder:
    """timm's transformer with 3 blocks, 16 patches and 32 features."""
    # timm takes 2 s to import, and tiny_resnet does not need it.
    from timm.models.vision_transformer import VisionTransformer

    from mimic_ray.encoders import timm_family

    require_whole_patches("tiny_vit", size, 8)
    net = VisionTransformer(
        img_size=size, patch_size=8, embed_dim=32, depth=3, num_heads=2, num_classes=0
    )
    return timm_family.encoder("tiny_vit", net, size, IMAGENET.mean, IMAGENET.std)
