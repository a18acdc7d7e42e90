"""Each channel scaled by 0.6 to 1.4 and shifted by -0.1 to 0.1."""

from __future__ import annotations

from torch import Tensor

from mimic_ray.base import seeds


def colour(
    images: Tensor,
    keys: Tensor,
    donors: Tensor,  # noqa: ARG001
    strength: float = 1.0,
) -> Tensor:
    """Colour: channels scaled and shifted.

    `strength` scales both changes.
    """
    draws = (2 * strength * seeds.uniform(keys, 6) - strength)[:, :, None, None]
    gain, offset = 1 + 0.4 * draws[:, :3], 0.1 * draws[:, 3:]
    return (images * gain).add_(offset).clamp_(0, 1)
