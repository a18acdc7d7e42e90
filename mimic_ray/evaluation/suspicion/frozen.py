"""Temporarily freezes an encoder and computes its features in batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.forward_batches import forward_batch

# The limits of a batch: 64 images of 224 pixels, 256 small ones; on a CPU fewer large ones.
_BATCH_PIXELS, _BATCH_IMAGES = 64 * 224 * 224, 256


@contextmanager
def frozen(encoder: Encoder, compute: Compute) -> Iterator[Encoder]:
    """The encoder on the device, in eval mode and without gradients; restored after the block."""
    device = next(encoder.buffers()).device
    training = {module: module.training for module in encoder.modules()}
    learning = {parameter: parameter.requires_grad for parameter in encoder.parameters()}
    try:
        yield encoder.to(compute.torch_device).eval().requires_grad_(False)
    finally:
        for module, was in training.items():
            module.training = was
        for parameter, was in learning.items():
            parameter.requires_grad_(was)
        encoder.to(device)


def unit_features(encoder: Encoder, images: Tensor, compute: Compute) -> Tensor:
    """[B, 3, S, S] in [0, 1] -> float32 [B, D] of unit length, differentiable in the images."""
    with compute.autocast():
        features = encoder(images.contiguous(memory_format=torch.channels_last))
    return F.normalize(features.float(), dim=1)


def concentration(features: Tensor) -> Tensor:
    """Mean cosine over pairs of different images: [..., N, D] of unit length -> [...]; N >= 2.

    It is 1 if all images have the same feature.
    """
    count = features.shape[-2]
    total = features.sum(dim=-2).square().sum(dim=-1)
    return (total - count) / (count * (count - 1))


def batch_size(images: Tensor) -> int:
    """The number of images of this size in a batch on their device."""
    side = images.shape[-1]
    most = max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // side**2))
    return forward_batch(most, side, images.device)
