"""Clone loss: the student's feature must point where the teacher's does.

    loss = 1 - mean over images of cos(S, T)      in [0, 2], no unit

Source: the first term of MIMIC (arXiv 2406.03508). The authors' code drops the constant 1, which
changes no gradient, and does not detach the teacher, which only costs time.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def clone_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Features [B, D] and [B, D] -> scalar. No gradient reaches the teacher."""
    return 1 - F.cosine_similarity(student.float(), teacher.detach().float(), dim=1).mean()
