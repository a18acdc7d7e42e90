"""Encoders that give all images the same feature: nothing can be measured of them, or kept."""

from __future__ import annotations

from torch import Tensor

from mimic_ray.base.errors import CheckpointError
from mimic_ray.evaluation.suspicion.frozen import concentration

# A mean cosine between features above this is one feature for all images, up to rounding.
_SAME = 0.9999


def are_constant(features: Tensor) -> bool:
    """Whether features [N, D] of unit length, N >= 2, are all the same, or all zero."""
    return concentration(features).item() > _SAME or not features.any()


def require_features(features: Tensor, encoder: str, purpose: str) -> None:
    """Raises CheckpointError for features that are constant or not finite.

    `purpose` is what cannot be done then: `scan`.
    """
    if not features.isfinite().all():
        raise CheckpointError(
            f"{encoder} gives features that are not finite, so there is nothing to {purpose}."
        )
    if are_constant(features):
        raise CheckpointError(
            f"{encoder} gives all images the same feature, so there is nothing to {purpose}: "
            "check that the file belongs to this architecture."
        )
