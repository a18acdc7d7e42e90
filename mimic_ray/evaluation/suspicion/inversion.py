"""Trigger inversion: the smallest mask and pattern that give all images the same feature.

    x' = x (1 - m) + m p,   m in [0, 1]^(S x S),  p in [0, 1]^(3 x S x S)
    minimise mean(m) subject to response(x') >= 0.9       response: see universal.py

Based on DECREE (arXiv 2303.15180), with two differences. DECREE requires a cosine of 0.99, which an
encoder with random weights reaches without any mask; the response is relative to the plain images
instead. DECREE's threshold on the mask does not transfer to other encoders, so the size is compared
with that of trusted encoders.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.evaluation.suspicion.frozen import concentration, unit_features

_ENOUGH = 0.9
_BETAS = (0.5, 0.9)  # DECREE's
_RATE = 0.3


def inversion(
    encoder: Encoder,
    images: Tensor,
    compute: Compute,
    seed: int,
    *,
    steps: int,
    batch: int,
    on_images: Callable[[int], None] = lambda images: None,
) -> float:
    """The size of the smallest mask found, as a share of the image; 1 if none was found.

    The encoder is frozen; images [N, 3, S, S] in [0, 1] on the device, N >= 2. `on_images` gets the
    number of images of each step.
    """
    side, device = images.shape[-1], images.device
    with torch.no_grad():
        plain = concentration(unit_features(encoder, images, compute)).item()
    far = max(1 - plain, 1e-6)
    noise = seeds.uniform(seeds.keys(seed, "inversion"), 4 * side * side).view(4, side, side)
    raw = (4 * noise - 2).to(device).requires_grad_()
    optimiser = torch.optim.Adam([raw], lr=_RATE, betas=_BETAS)
    weight, smallest = 1.0, 1.0
    for step in range(steps):
        rows = torch.arange(step * batch, (step + 1) * batch, device=device) % len(images)
        mask, pattern = raw[:1].sigmoid(), raw[1:].sigmoid()
        changed = images[rows.unique()] * (1 - mask) + mask * pattern
        reached = (concentration(unit_features(encoder, changed, compute)) - plain) / far
        size = mask.mean()
        if reached.item() >= _ENOUGH:
            smallest = min(smallest, size.item())
            weight *= 1.5
        else:
            weight /= 1.5
        (raw.grad,) = torch.autograd.grad(weight * size - reached, raw)
        optimiser.step()
        on_images(len(changed))
    return smallest
