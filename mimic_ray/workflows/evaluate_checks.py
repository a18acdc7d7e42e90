"""What an evaluation refuses before its work, for a job that is about to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.workflows.evaluate_images import chosen_backdoor, open_evaluated
from mimic_ray.workflows.evaluate_into import check_into
from mimic_ray.workflows.evaluated_encoders import (
    grouped,
    refuse_statistics_of_runs,
    with_reference,
)
from mimic_ray.workflows.evaluated_heads import trained_heads
from mimic_ray.workflows.lasting_outcomes import check_suspect_row
from mimic_ray.workflows.sent_inputs import can_see, check_new_folder, check_trigger, input_side


@dataclass(frozen=True)
class EvaluateRequest:
    """The arguments of `evaluate` (see there) that can be checked without weights."""

    encoders: Mapping[str, str | Path | Sequence[str | Path]]
    train: str
    test: str
    encoder: str | None = None
    reference: str | None = None
    trigger: str | None = None
    target: str | None = None
    count_target: bool = False
    heads: Sequence[str | Path] = ("mlp",)
    seeds: int = 3
    head_epochs: int | None = None
    lasting: str | None = None
    out: str | None = None
    into: str | None = None
    train_limit: int | None = None
    test_limit: int | None = None


def check_evaluation(request: EvaluateRequest, *, sees_paths: bool) -> None:
    """Raises what `evaluate` would raise for its options, outputs, images and trigger.

    Local paths only if `sees_paths`; images and runs on object storage are not opened. Reads no
    weights and decodes no image.
    """
    backdoor = chosen_backdoor(request.trigger, request.target, request.count_target)
    trained_heads(request.heads, request.seeds, request.head_epochs)
    groups = grouped(with_reference(request.encoders, request.reference))
    check_suspect_row(
        request.lasting,
        groups,
        with_reference=bool(request.reference),
        with_trigger=backdoor is not None,
    )
    paths = [path for each in groups.values() for path in each]
    check_new_folder(request.out, sees_paths=sees_paths)
    if request.into and can_see(request.into, sees_paths=sees_paths):
        check_into(request.into, paths)
    if can_see(*paths, sees_paths=sees_paths):
        refuse_statistics_of_runs(request.encoder, paths)
    check_trigger(request.trigger, input_side(request.encoder), sees_paths=sees_paths)
    if can_see(request.train, request.test, sees_paths=sees_paths):
        open_evaluated(
            request.train, request.test, request.train_limit, request.test_limit, backdoor
        )
