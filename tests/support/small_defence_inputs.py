"""What a defence works with, small enough for unit tests."""

from __future__ import annotations

import torch

from mimic_ray.base.devices import Compute
from mimic_ray.defences.defence_registry import DefenceInputs
from mimic_ray.encoders import encoder_registry
from mimic_ray.encoders.encoder import Encoder
from tests.support.images_in_memory import ImagesInMemory


def suspect(architecture: str = "tiny_resnet", seed: int = 3) -> Encoder:
    """An encoder with random weights and the batch-norm statistics of some images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = encoder_registry.build(architecture)
        with torch.no_grad():
            for _ in range(10):
                encoder(torch.rand(16, 3, 32, 32))
    return encoder.eval().requires_grad_(False)


def pixels(count: int = 24, seed: int = 5) -> torch.Tensor:
    """Smooth colour images, uint8 [count, 3, 32, 32]."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear") * 255).byte()


def defence_inputs(
    architecture: str = "tiny_resnet", seed: int = 0, count: int = 24
) -> DefenceInputs:
    return DefenceInputs(
        suspect=suspect(architecture),
        architecture=architecture,
        images=ImagesInMemory(pixels(count)),
        compute=Compute("cpu", "fp32", 1),
        seed=seed,
    )
