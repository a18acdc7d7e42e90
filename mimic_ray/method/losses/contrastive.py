"""Contrastive loss (NT-Xent): two views of an image must meet, views of others must part.

    loss = mean over the 2B views i of  -log( e(i, p) / sum over k != i of e(i, k) ),
    e(i, k) = exp(z_i . z_k / t)

with p the other view of the same image; the positive stands in the denominator too.
Source: SimCLR, arXiv 2002.05709, equation 1. Unlike MIMIC's code it is computed by log-sum-exp, so
small temperatures do not overflow.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive_loss(
    first: Tensor,
    second: Tensor,
    temperature: float,
    others: tuple[Tensor, Tensor] | None = None,
    offset: int = 0,
) -> Tensor:
    """Projections [B, P] and [B, P] of two views, any length -> scalar.

    With several workers `others` holds the projections of the whole global batch, in which this
    worker's images start at `offset`; the mean over workers is then the loss of the global batch.
    """
    images = first.shape[0]
    all_first, all_second = others or (first, second)
    total = all_first.shape[0]
    anchors = F.normalize(torch.cat([first, second]).float(), dim=1)
    everyone = F.normalize(torch.cat([all_first, all_second]).float(), dim=1)
    logits = anchors @ everyone.T / temperature
    rows = torch.arange(offset, offset + images, device=logits.device)
    own = torch.cat([rows, rows + total])
    positive = torch.cat([rows + total, rows])
    logits = logits.scatter(1, own[:, None], float("-inf"))
    return F.cross_entropy(logits, positive)
