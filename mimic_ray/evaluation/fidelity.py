"""Fidelity: how well the student reproduces the teacher's features on clean, unlabelled images.

    cosine  = mean over images of cos(student, teacher)
    overlap = mean over images of |N_k(student) & N_k(teacher)| / k,  N_k: k nearest by cosine
    score   = mean of the two

The overlap is included because a head depends more on the neighbours of an image than on its
absolute position.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows of the similarity matrix per block; a whole matrix of 2,000 images takes 16 MB.
_ROWS = 512


@dataclass(frozen=True)
class Fidelity:
    """Each value is 1 for equal features and about 0 for unrelated ones; `score` is the mean."""

    cosine: float
    overlap: float
    score: float


def fidelity(student: Tensor, teacher: Tensor, neighbours: int = 10) -> Fidelity:
    """Compares features [N, D] of the same images in the same order; they need no unit length.

    Uses at most N - 2 neighbours. Raises ValueError for other shapes or fewer than 3 images.
    """
    if student.shape != teacher.shape or student.dim() != 2 or len(student) < 3:
        raise ValueError(
            f"features must be two [N, D] of at least 3 images, got student {[*student.shape]}, "
            f"teacher {[*teacher.shape]}"
        )
    s, t = (F.normalize(each.float(), dim=1) for each in (student, teacher))
    cosine = (s * t).sum(dim=1).mean().item()
    # With N - 1 neighbours any two encoders would agree.
    overlap = _overlap(s, t, min(neighbours, len(s) - 2))
    return Fidelity(cosine, overlap, (cosine + overlap) / 2)


def _overlap(student: Tensor, teacher: Tensor, neighbours: int) -> float:
    shared = 0
    for rows in torch.arange(len(student), device=student.device).split(_ROWS):
        of_student, of_teacher = (_near(each, rows, neighbours) for each in (student, teacher))
        shared += int((of_student & of_teacher).sum())
    return shared / (len(student) * neighbours)


def _near(features: Tensor, rows: Tensor, neighbours: int) -> Tensor:
    """bool [R, N]: the nearest neighbours of each row, without the image itself."""
    similarity = features[rows] @ features.T
    similarity.scatter_(1, rows[:, None], -torch.inf)
    chosen = similarity.topk(neighbours, dim=1).indices
    return torch.zeros_like(similarity, dtype=torch.bool).scatter_(1, chosen, True)
