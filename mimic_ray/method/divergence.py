"""Training that diverged: losses or weights that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mimic_ray.base.errors import DivergedError


def check_row(row: Mapping[str, float]) -> None:
    """Raises DivergedError for a step whose loss is not finite; it made no update."""
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if not bad:
        return
    if row["step"] == 1:  # no update has changed the student yet
        raise DivergedError(
            f"The {bad[-1]} loss is not finite at step 1: check the teacher with "
            "`mimic-ray inspect`."
        )
    raise DivergedError(
        f"Training diverged: the {bad[-1]} loss is not finite at step {row['step']:.0f} (no update "
        "was made). Use a lower training.learning_rate."
    )


def check_weights(student: Mapping[str, Any], step: int) -> None:
    """Raises DivergedError for weights that are not finite after `step` updates.

    The loss can stay finite while weights overflow: a normalisation layer hides them.
    """
    finite = [
        value.isfinite().all()
        for value in student.values()
        if isinstance(value, Tensor) and value.is_floating_point()
    ]
    if not torch.stack(finite).all():
        raise DivergedError(
            f"Training diverged: the student's weights are not finite after step {step}. Use a "
            "lower training.learning_rate."
        )
