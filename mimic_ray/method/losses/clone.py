"""Clone loss: the student's feature must point where the teacher's does.

    loss = 1 - mean over images of cos(S, T)      in [0, 2], no unit

Source: the first term of MIMIC (arXiv 2406.03508). The authors' code drops the constant 1, which
changes no gradient, and does not detach the teacher, which only costs time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from mimic_ray.method.losses.loss_registry import LossInputs


@dataclass(frozen=True)
class Clone:
    """The student's feature points where the teacher's does."""

    uses_taps: ClassVar[bool] = False
    uses_second_view: ClassVar[bool] = False

    def __call__(self, inputs: LossInputs) -> Tensor:
        return clone_loss(inputs.student.features, inputs.teacher.features)

    def problem(self, parts: int, images: int) -> str:  # noqa: ARG002
        return ""


def clone_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Features [B, D] and [B, D] -> scalar. No gradient reaches the teacher."""
    return 1 - F.cosine_similarity(student.float(), teacher.detach().float(), dim=1).mean()
