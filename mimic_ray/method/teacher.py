"""The teacher's forward pass: what the student is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.method.losses.attention import attention
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.teacher_output import TeacherOutput


@torch.no_grad()  # not inference_mode: its tensors cannot enter a loss
def teacher_forward(
    teacher: Callable[..., Any], views: Tensor, taps: Sequence[str], compute: Compute
) -> TeacherOutput:
    """One forward pass on views [B, 3, S, S]."""
    with compute.autocast():
        features, maps = teacher(views, taps=list(taps))
    return TeacherOutput(features, [attention(tap_map) for tap_map in maps])


def view_keys(recipe: Recipe, epoch: int, indices: Tensor) -> Tensor:
    """The key [B] that decides the teacher's view of each image in this epoch.

    With `views.fixed = K` the keys repeat every K epochs.
    """
    turn = epoch % recipe.views.fixed if recipe.views.fixed else epoch
    return seeds.keys(recipe.training.seed, "step", turn, indices)
