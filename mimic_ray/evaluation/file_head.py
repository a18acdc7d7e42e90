"""The classifier head that a checkpoint file has beside its encoder.

A user who swaps one file for another keeps this head. It reads features as the encoder gives them,
not of unit length, and is not trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.weight_files.read import Checkpoint
from mimic_ray.weight_files.resolve import Fit

# The name of this head where a kind of head is chosen.
OWN = "own"

# Modules that classifiers have in public files; a projector is also a linear layer.
_NAMES = {"fc", "linear", "classifier", "head", "last_linear", "output", "logits", "out"}


@dataclass(frozen=True)
class FileHead:
    """A linear classifier: weight [C, D], bias [C], and its key in the file."""

    weight: Tensor
    bias: Tensor
    key: str

    def predict(self, features: Tensor) -> Tensor:
        """Features [N, D] of any length, as the encoder gives them -> classes [N]."""
        return F.linear(features, self.weight, self.bias).argmax(dim=1)


def find_head(checkpoint: Checkpoint, fit: Fit, feature_width: int) -> FileHead:
    """The classifier beside the encoder that `fit` found. Raises UsageError if there is none."""
    tensors = checkpoint.groups[fit.group]
    used = fit.used
    free = {key: tensor for key, tensor in tensors.items() if key not in used}
    found = [head for key in free if (head := _linear(free, key, feature_width))]
    named = [head for head in found if {*head.key.split(".")} & _NAMES]
    if len(named) == 1:
        return named[0]
    what = (
        f"has {len(named)} layers that may be one ({', '.join(plain(h.key) for h in named)})"
        if named
        else f"has no linear classifier for features of width {feature_width}"
    )
    raise UsageError(
        f"{checkpoint.path} {what}, so {option('heads', OWN)} cannot be used: leave it out to "
        "train a head on the features."
    )


def _linear(tensors: Mapping[str, Tensor], key: str, width: int) -> FileHead | None:
    weight = tensors[key]
    if not key.endswith("weight") or weight.ndim != 2 or weight.shape[1] != width:
        return None
    bias = tensors.get(f"{key.removesuffix('weight')}bias", torch.zeros(len(weight)))
    if bias.shape != (len(weight),):
        return None
    return FileHead(weight.float(), bias.float(), key.removesuffix(".weight"))
