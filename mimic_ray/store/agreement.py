"""Checks that a resumed run has the same inputs as the run that was started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimic_ray.base.errors import WrongFolderError, option
from mimic_ray.base.text import plain
from mimic_ray.store.run_record import RunRecord

# key -> what an error calls it
_MUST_AGREE = {
    "encoder": "the encoder",
    "teacher_sha256": "the teacher's sha256",
    "data_fingerprint": "the images' fingerprint",
    "recipe": "recipe",
    "user_code": "user code",
}
_MISSING = object()


def agreement(record: RunRecord, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What `check_agreement` compares; `recipe` as nested tables."""
    return {
        "encoder": record.encoder,
        "teacher_sha256": record.teacher_sha256,
        "data_fingerprint": record.data_fingerprint,
        "recipe": recipe,
        "user_code": record.user_code,
        "compute": {**record.compute, "workers": record.workers},
    }


def check_agreement(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Warnings, one sentence each, about changes that alter the result only by rounding.

    Both mappings come from `agreement`. Raises WrongFolderError with everything that makes it
    another run: encoder, teacher, images, and each value of the recipe, old and new.
    """
    problems = [
        difference
        for key, words in _MUST_AGREE.items()
        for difference in differences(words, recorded.get(key), now.get(key))
    ]
    if problems:
        raise WrongFolderError(
            f"This is not the run that was started: {'; '.join(problems)}. Resume it with the same "
            f"inputs, or start a new one with another {option('out')}."
        )
    return [
        f"{difference}: the weights will not be bit for bit those of an unbroken run."
        for difference in differences("", recorded.get("compute"), now.get("compute"))
    ]


def differences(name: str, old: Any, new: Any) -> list[str]:
    """`name.key was OLD, is NEW now`, for every leaf of two nested tables that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            difference
            for key in dict.fromkeys([*old, *new])
            for difference in differences(
                f"{name}.{key}" if name else str(key),
                old.get(key, _MISSING),
                new.get(key, _MISSING),
            )
        ]
    # A list from TOML and a tuple from a Recipe are the same value.
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and [*old] == [*new]:
        return []
    return [] if old == new else [f"{name} was {_shown(old)}, is {_shown(new)} now"]


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "not set"
    return plain(repr(value) if isinstance(value, list | tuple | bool) else value, limit=64)
