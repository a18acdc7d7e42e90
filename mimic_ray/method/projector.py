"""SimCLR's projection head: serves the contrastive term alone and is never part of an encoder."""

from __future__ import annotations

from torch import nn


def make_projector(feature_width: int) -> nn.Sequential:
    """Features [B, D] -> projections [B, 128], as in the authors' encoders (512 hidden units)."""
    return nn.Sequential(
        nn.Linear(feature_width, 512, bias=False),
        nn.BatchNorm1d(512),
        nn.ReLU(inplace=True),
        nn.Linear(512, 128),
    )
