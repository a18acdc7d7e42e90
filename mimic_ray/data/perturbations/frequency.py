"""One plane wave added to the image: 1 to 16 periods per side, amplitude 0.05 to 0.2.

Half of the waves are parallel to an axis. Half are grey (one amplitude and sign for all channels),
the others have an amplitude and a sign for each channel. With weaker or fewer waves, students kept
a plain sine trigger.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.data import pixels


def frequency(
    images: Tensor,
    keys: Tensor,
    donors: Tensor,  # noqa: ARG001
    strength: float = 1.0,
) -> Tensor:
    """Waves: a regular pattern over the whole image.

    `strength` scales the amplitude.
    """
    draws = seeds.uniform(keys, 13)
    # Log-uniform, so that slow waves are as common as fast ones.
    across, down = (16 ** draws[:, :2]).unbind(dim=1)
    along_axis, horizontal = draws[:, 2] < 0.5, draws[:, 3] < 0.5
    across = torch.where(along_axis & ~horizontal, 0.0, across)
    # The sign of one component, so that waves slant in both directions.
    down = torch.where(draws[:, 4] < 0.5, down, -down)
    down = torch.where(along_axis & horizontal, 0.0, down)
    waves = pixels.plane_waves(across, down, 2 * math.pi * draws[:, 5], images.shape[-1])
    amplitude = (0.05 + 0.15 * draws[:, 6:9]) * torch.where(draws[:, 9:12] < 0.5, 1.0, -1.0)
    grey = draws[:, 12:] < 0.5
    amplitude = strength * torch.where(grey, amplitude[:, :1], amplitude)
    return torch.addcmul(images, amplitude[:, :, None, None], waves[:, None]).clamp_(0, 1)
