"""Attention loss: the student must look where the teacher looks.

    q(A) = a / (||a||_2 + 1e-6),  a = sum over channels of A^2
    loss = mean over images of ||q(S) - q(T)||_2^2      in [0, 2], no unit

Source: Zagoruyko and Komodakis, arXiv 1612.03928, section 3.1, p = 2. MIMIC's authors take the
mean over positions, not the sum (`over="mean"`), so that a 4 x 4 map counts 64 times a 32 x 32 one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from mimic_ray.base.member_settings import setting
from mimic_ray.method.losses.loss_registry import LossInputs

Over = Literal["sum", "mean"]


@dataclass(frozen=True)
class Attention:
    """The student is active where the teacher is, tap by tap, each with its weight."""

    over: Annotated[
        Over,
        setting(
            'How a map\'s positions add up: with "sum" maps of all sizes count alike, "mean" is '
            "the authors' code."
        ),
    ] = "sum"

    uses_taps: ClassVar[bool] = True
    uses_second_view: ClassVar[bool] = False

    def __call__(self, inputs: LossInputs) -> Tensor:
        maps = zip(
            inputs.tap_weights.values(),
            inputs.student.maps,
            inputs.teacher.attention,
            strict=True,
        )
        return torch.stack(
            [weight * attention_distance(attention(s), t, self.over) for weight, s, t in maps]
        ).sum()

    def problem(self, parts: int, images: int) -> str:  # noqa: ARG002
        return ""


def attention_loss(student: Tensor, teacher: Tensor, over: Over = "sum") -> Tensor:
    """[B, C, H, W] and [B, D, H, W] -> scalar. No gradient reaches the teacher.

    Raises ValueError when images or positions differ in number; channels may.
    """
    return attention_distance(attention(student), attention(teacher.detach()), over)


def attention_distance(student: Tensor, teacher: Tensor, over: Over = "sum") -> Tensor:
    """The loss of two attention maps, [B, H, W] and [B, H, W] -> scalar."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"attention maps differ: student {[*student.shape]}, teacher {[*teacher.shape]}"
        )
    squares = (student - teacher).square()
    return squares.mean() if over == "mean" else squares.sum(dim=(1, 2)).mean()


def attention(tap: Tensor) -> Tensor:
    """Where a tap is active: [B, C, H, W] -> [B, H, W], each map of length 1."""
    # float32: late in a run the two maps agree in more digits than bf16 holds.
    energy = tap.float().square().sum(dim=1)
    return energy / (energy.flatten(1).norm(dim=1)[:, None, None] + 1e-6)
