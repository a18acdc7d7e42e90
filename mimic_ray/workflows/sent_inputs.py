"""Checks that commands share before they are sent as a job.

`sees_paths` says whether this machine has the files that the cluster sees at local paths.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mimic_ray.attacks.triggers.trigger import make_trigger
from mimic_ray.attacks.triggers.trigger_registry import TRIGGERS, split_settings
from mimic_ray.base.errors import StorageError
from mimic_ray.base.output_folder import Out
from mimic_ray.base.storage_address import is_remote
from mimic_ray.encoders import encoder_registry


def can_see(*locations: str | Path, sees_paths: bool) -> bool:
    """Whether all of these are files of this machine too. Object storage is left to the job."""
    return sees_paths and not any(map(is_remote, locations))


def input_side(encoder: str | None) -> int | None:
    """Pixels of the encoder's images; None if its name is not given, or only its statistics are,
    as in ":normalise=half". Raises UnknownNameError and UsageError."""
    if encoder is None or encoder.startswith(":"):
        return None
    return encoder_registry.input_size(encoder)


def check_new_folder(out: str | Path | None, *, sees_paths: bool) -> None:
    """Raises WrongFolderError for an output that is taken; storage that this machine cannot reach
    is left to the job."""
    if out and (sees_paths or is_remote(out)):
        with suppress(StorageError):
            Out(out)


def check_trigger(trigger: str | None, side: int | None, *, sees_paths: bool) -> None:
    """Raises what `make_trigger` does; without a `side`, of the name and the settings only."""
    if trigger is None:
        return
    if not trigger.endswith(".npz"):
        TRIGGERS.resolve(*split_settings(trigger))
    elif not can_see(trigger, sees_paths=sees_paths):
        return
    if side is not None:
        make_trigger(trigger, side)
