"""Attention loss: the student must look where the teacher looks.

    q(A) = a / (||a||_2 + 1e-6),  a = sum over channels of A^2
    loss = mean over images of ||q(S) - q(T)||_2^2      in [0, 2], no unit

Source: Zagoruyko and Komodakis, arXiv 1612.03928, section 3.1, p = 2. MIMIC's authors take the
mean over positions, not the sum (`over="mean"`), so that a 4 x 4 map counts 64 times a 32 x 32 one.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def attention_loss(
    student: Tensor, teacher: Tensor, over: Literal["sum", "mean"] = "sum"
) -> Tensor:
    """[B, C, H, W] and [B, D, H, W] -> scalar. No gradient reaches the teacher.

    Raises ValueError when images or positions differ in number; channels may.
    """
    return attention_distance(attention(student), attention(teacher.detach()), over)


def attention_distance(
    student: Tensor, teacher: Tensor, over: Literal["sum", "mean"] = "sum"
) -> Tensor:
    """The same for what `attention` gave: [B, H, W] and [B, H, W] -> scalar."""
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
