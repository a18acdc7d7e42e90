"""One training step's loss: one student forward per view, against the teacher's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from mimic_ray.base.devices import Compute
from mimic_ray.data.epoch import share_bounds
from mimic_ray.method.losses.attention import attention, attention_distance
from mimic_ray.method.losses.clone import clone_loss
from mimic_ray.method.losses.contrastive import contrastive_loss
from mimic_ray.method.process_group import ProcessGroup
from mimic_ray.method.recipe import Loss
from mimic_ray.method.student import Output
from mimic_ray.method.student_teacher_views import Pair
from mimic_ray.method.teacher import TeacherOutput


def step_loss(
    student: Callable[..., Output],
    teacher: TeacherOutput,
    pair: Pair,
    tap_weights: Mapping[str, float],
    weights: Loss,
    compute: Compute,
    group: ProcessGroup,
    batch: int | None = None,
) -> dict[str, Tensor]:
    """The terms and their weighted sum, "loss", as scalars; only terms with a weight.

    `tap_weights` names the taps that `student` returns maps of, in its order; `teacher` is its
    output for `pair.teacher`, with the same taps. `batch` counts the images of all workers,
    of which these may be one worker's share.
    """
    with compute.autocast():
        output = student(pair.student, pair.second)
    terms: dict[str, Tensor] = {}
    if weights.clone > 0:
        terms["clone"] = clone_loss(output.features, teacher.features)
    if tap_weights:
        maps = zip(tap_weights.values(), output.maps, teacher.attention, strict=True)
        terms["attention"] = torch.stack(
            [w * attention_distance(attention(s), t, weights.attention_over) for w, s, t in maps]
        ).sum()
    if output.projections is not None:
        first, second = (p.float() for p in output.projections)
        everyone, offset = None, 0
        if weights.negatives == "global" and group.world_size > 1 and batch:
            everyone = group.gather(first, batch), group.gather(second, batch)
            offset, _ = share_bounds(batch, group.rank, group.world_size)
        terms["contrastive"] = contrastive_loss(
            first, second, weights.temperature, everyone, offset
        )
    total = torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
    return {"loss": total, **terms}
