"""What the losses compare the student with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class TeacherOutput(NamedTuple):
    """Features [B, D], and one attention map [B, H, W] of length 1 for each tap."""

    features: Tensor
    attention: list[Tensor]
