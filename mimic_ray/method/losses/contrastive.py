"""Contrastive loss (NT-Xent): views of one image attract, views of different images repel.

    loss = mean over the 2B views i of  -log( e(i, p) / sum over k != i of e(i, k) ),
    e(i, k) = exp(z_i . z_k / t)

with p the other view of the same image; the positive stands in the denominator too.
Source: SimCLR, arXiv 2002.05709, equation 1. Unlike MIMIC's code it is computed by log-sum-exp, so
small temperatures do not overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.member_settings import setting
from mimic_ray.data.epoch import share_bounds
from mimic_ray.method.losses.loss_registry import LossInputs


@dataclass(frozen=True)
class Contrastive:
    """Views of one image attract, views of different images repel (NT-Xent)."""

    temperature: Annotated[float, setting("Of the softmax over cosines.", gt=0)] = 0.5
    negatives: Annotated[
        Literal["global", "local"],
        setting(
            'Other images that an image is compared with: "global" takes the batch of all workers '
            'and gives the same loss on any number of them; "local" takes what one worker has in '
            "memory and needs no communication."
        ),
    ] = "global"

    uses_taps: ClassVar[bool] = False
    uses_second_view: ClassVar[bool] = True

    def __call__(self, inputs: LossInputs) -> Tensor:
        assert inputs.student.projections is not None  # because of uses_second_view
        first, second = (projection.float() for projection in inputs.student.projections)
        group, batch = inputs.group, inputs.batch
        everyone, offset = None, 0
        if self.negatives == "global" and group.world_size > 1 and batch:
            everyone = group.gather(first, batch), group.gather(second, batch)
            offset, _ = share_bounds(batch, group.rank, group.world_size)
        return contrastive_loss(first, second, self.temperature, everyone, offset)

    def problem(self, parts: int, images: int) -> str:
        if parts > 1 and self.negatives == "global":
            return (
                "needs the whole batch in memory: set training.accumulate = 1, or "
                'loss.contrastive.negatives = "local"'
            )
        if images < 2 and self.negatives == "local":
            return (
                "needs two images in each part: set a larger training.batch, or "
                'loss.contrastive.negatives = "global"'
            )
        return ""


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
