"""The network that is trained: the student's encoder and, for the contrastive term, a projector.

One module with one forward, so that DistributedDataParallel sees all of a step in one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mimic_ray.encoders.encoder import Encoder
from mimic_ray.method.batch_norm import batch_norms, read_statistics, repeat_update
from mimic_ray.method.projector import make_projector


class StudentOutput(NamedTuple):
    """Of view 1: features [B, D] and maps [B, C, H, W]; of both views: projections [B, 128]."""

    features: Tensor
    maps: list[Tensor]
    projections: tuple[Tensor, Tensor] | None


class Student(nn.Module):
    """`forward(view_1, view_2 or None)`; view 2 is there exactly when there is a projector."""

    def __init__(
        self, encoder: Encoder, taps: Sequence[str], projects: bool, repeat_statistics: bool
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = make_projector(encoder.spec.feature_width) if projects else None
        self.taps = tuple(taps)
        self.repeat_statistics = repeat_statistics

    def forward(self, first: Tensor, second: Tensor | None = None) -> StudentOutput:
        norms = batch_norms(self.encoder) if self.repeat_statistics and self.training else []
        before = read_statistics(norms)
        features, maps = self.encoder(first, taps=self.taps)
        if self.projector is None or second is None:
            return StudentOutput(features, maps, None)
        after = read_statistics(norms)
        other = self.encoder(second)
        repeat_update(norms, before, after)
        # As in the authors' encoder, the projector reads features as the pooling leaves them.
        return StudentOutput(features, maps, (self.projector(features), self.projector(other)))


def encoder_weights(student_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's weights in a Student's state_dict, with the keys of `Encoder.net`."""
    prefix = "encoder.net."
    return {
        key.removeprefix(prefix): weight
        for key, weight in student_state.items()
        if key.startswith(prefix)
    }


def channels_last_where_it_pays(encoder: Encoder) -> bool:
    """Networks of convolutions run faster channels-last; others do not."""
    convolutions = sum(isinstance(m, nn.Conv2d) for m in encoder.modules())
    if convolutions > 1:
        encoder.to(memory_format=torch.channels_last)
    return convolutions > 1
