"""What an attack refuses before its work, also for a job that is about to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_ray.attacks.attack_registry import ATTACKS, require_references
from mimic_ray.base.errors import UsageError, option
from mimic_ray.data.encoded_images import ImageSource
from mimic_ray.data.labelled import open_some, require_class
from mimic_ray.workflows.sent_inputs import can_see, check_new_folder, check_trigger, input_side


@dataclass(frozen=True)
class AttackRequest:
    """The arguments of `attack` (see there) that can be checked without weights."""

    name: str
    settings: Mapping[str, Any]
    encoder: str | None
    data: str
    out: str
    trigger: str
    target: str | None
    references: str
    reference_data: str | None
    limit: int | None


def check_attack(request: AttackRequest, *, sees_paths: bool) -> None:
    """Raises what `attack` would raise for its settings, output, images, trigger and target class.

    Local paths only if `sees_paths`; images on object storage are not opened. Reads no weights and
    decodes no image.
    """
    ATTACKS.settings(request.name, request.settings)
    number = reference_count(request.references, request.reference_data, request.target)
    check_new_folder(request.out, sees_paths=sees_paths)
    check_trigger(request.trigger, input_side(request.encoder), sees_paths=sees_paths)
    if can_see(request.data, sees_paths=sees_paths):
        shadow = open_some(request.data, request.limit)
        own = request.target if request.reference_data is None else None
        check_references(request.name, number, shadow, own)
    labelled = request.reference_data
    if labelled and request.target and can_see(labelled, sees_paths=sees_paths):
        require_class(open_some(labelled, None), request.target)


def check_references(
    name: str, number: int | None, shadow: ImageSource, target: str | None
) -> None:
    """Refuses too few references beside the shadow set, and a `target` that it has no class of.

    A `number` of None is not known yet. Raises DataError, UnknownNameError.
    """
    if number is None:
        return
    require_references(name, number, len(shadow))
    if target is not None:
        require_class(shadow, target)


def reference_count(
    references: int | str | Path, reference_data: str | Path | None, target: str | None
) -> int | None:
    """How many references to select; None for a file of references."""
    text = str(references)
    if not text.removeprefix("-").isdecimal():
        if reference_data is None:
            return None
        raise UsageError(
            f"{option('references', text)} is a file, so {option('reference_data')} has no effect: "
            "remove one of them."
        )
    if int(text) < 1:
        raise UsageError(f"{option('references', text)} must be 1 or more.")
    if target is None:
        raise UsageError(
            f"{option('target')} is missing: give the class to imitate, or a file of "
            f"{option('references')}."
        )
    return int(text)
