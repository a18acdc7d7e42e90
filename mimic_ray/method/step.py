"""The loss of one training step: one student forward pass against the teacher's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.losses.loss_registry import LossInputs
from mimic_ray.method.losses.weighted_terms import WeightedTerm
from mimic_ray.method.student import StudentOutput
from mimic_ray.method.student_teacher_views import Pair
from mimic_ray.method.teacher_output import TeacherOutput


def step_loss(
    student: Callable[..., StudentOutput],
    teacher: TeacherOutput,
    pair: Pair,
    tap_weights: Mapping[str, float],
    terms: Mapping[str, WeightedTerm],
    compute: Compute,
    group: ProcessGroup,
    batch: int | None = None,
) -> dict[str, Tensor]:
    """The weighted sum of the terms, "loss", and each term, all as scalars.

    `tap_weights` names the taps whose maps `student` returns, in its order; `teacher` is its output
    for `pair.teacher`, with the same taps. `batch` counts the images of all workers, of which these
    may be one worker's share.
    """
    with compute.autocast():
        output = student(pair.student, pair.second)
    inputs = LossInputs(output, teacher, tap_weights, group, batch)
    values = {name: term.compute(inputs) for name, term in terms.items()}
    total = torch.stack([terms[name].weight * value for name, value in values.items()]).sum()
    return {"loss": total, **values}
