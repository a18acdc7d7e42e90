"""The commit protocol: a run can be killed at any instruction and still has a whole checkpoint.

    checkpoints/step-000120/    tensors.safetensors, state.json, manifest.json; created by rename
    checkpoints/latest.json     the committed steps, newest first; replaced by rename, afterwards

A step is committed once latest.json names it. latest.json has the sha256 of each manifest and of
itself, and a manifest has the size and sha256 of each file, so any flipped bit is detected. The
last two committed steps are kept; older ones are deleted after the new one is committed.
published_checkpoint.py stores the same files in object storage.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError, option
from mimic_ray.store import state_file
from mimic_ray.store.checkpoint_index import (
    KEPT,
    LATEST,
    MANIFEST,
    latest_content,
    parse_latest,
    step_folder,
)
from mimic_ray.store.run_folder import RunFolder


@dataclass(frozen=True)
class Committed:
    """A committed step. `instead_of` is a later one whose folder was deleted by hand, or None."""

    step: int
    state: dict[str, Any]
    instead_of: int | None = None


def commit(folder: RunFolder, step: int, state: Mapping[str, Any]) -> None:
    """Makes `state` the latest checkpoint. See state_file.py for what a state may hold.

    A step that is already committed is not written again: within a run the step determines the
    state. If this raises DiskFullError or OSError, the previous checkpoint is still the latest.
    """
    target = step_folder(folder, step)
    committed = _committed_steps(folder)
    if step in committed and target.exists():
        return
    with files.disk_errors(target):
        manifest = _write_step(folder, step, state)
        earlier = {known: sha256 for known, sha256 in committed.items() if known < step}
        kept = dict(sorted({step: _sha256(manifest), **earlier}.items(), reverse=True)[:KEPT])
        entries = [{"step": known, "manifest": sha256} for known, sha256 in kept.items()]
        files.write_bytes(folder.checkpoints / LATEST, latest_content(entries))
        _delete_all_but(folder, kept)


def latest(folder: RunFolder) -> Committed | None:
    """The latest committed step with its state on the CPU, None before the first commit.

    Raises DamagedCheckpointError with the name of the file. It never falls back to an older step:
    for that, the user deletes the folder of the damaged one, as the message says.
    """
    committed = _committed_steps(folder)
    if not committed:
        return None
    newest = next(iter(committed))
    present = [step for step in committed if step_folder(folder, step).exists()]
    if not present:
        raise DamagedCheckpointError(
            f"{step_folder(folder, newest)} is missing though {LATEST} names it: restore it from "
            f"a copy, or start again with another {option('out')}."
        )
    step = present[0]
    _verify(folder, step, committed)
    state = state_file.read_state(step_folder(folder, step))
    return Committed(step, state, newest if step != newest else None)


def committed_step(folder: RunFolder) -> int | None:
    """The latest step in latest.json, without reading its files; None before the first commit.

    Raises DamagedCheckpointError for latest.json alone.
    """
    return next(iter(_committed_steps(folder)), None)


def _write_step(folder: RunFolder, step: int, state: Mapping[str, Any]) -> bytes:
    """Writes the step's folder and returns its manifest."""
    target = step_folder(folder, step)
    if target.exists():  # a writer was killed before it could commit this one
        shutil.rmtree(target)
    files.make_folder(folder.checkpoints)
    with files.new_folder(target) as unfinished:
        found = state_file.write_state(unfinished, state)
        written = {name: facts._asdict() for name, facts in found.items()}
        manifest = json.dumps({"step": step, "files": written}, indent=2).encode()
        files.write_bytes(unfinished / MANIFEST, manifest)
    return manifest


def _delete_all_but(folder: RunFolder, kept: Iterable[int]) -> None:
    for other in {*folder.checkpoints.glob("step-*")} - {step_folder(folder, k) for k in kept}:
        shutil.rmtree(other)


def _verify(folder: RunFolder, step: int, committed: Mapping[int, str]) -> None:
    """Raises DamagedCheckpointError for the first file of `step` that is not what was written."""
    target = step_folder(folder, step)
    earlier = [known for known in committed if known < step and step_folder(folder, known).exists()]
    way_out = f", or delete {target} to go on from step {earlier[0]}" if earlier else ""

    def damaged(name: str, reason: str) -> DamagedCheckpointError:
        return DamagedCheckpointError(
            f"{target / name} is damaged ({reason}): restore it from a copy{way_out}."
        )

    manifest = target / MANIFEST
    if not manifest.exists():
        raise damaged(MANIFEST, "it is missing")
    if files.sha256(manifest) != committed[step]:
        raise damaged(MANIFEST, "its sha256 is not the one in latest.json")
    for name, expected in json.loads(manifest.read_text())["files"].items():
        path = target / name
        if not path.exists():
            raise damaged(name, "it is missing")
        if path.stat().st_size != expected["bytes"]:
            raise damaged(name, f"{path.stat().st_size} bytes instead of {expected['bytes']}")
        if files.sha256(path) != expected["sha256"]:
            raise damaged(name, "its sha256 is not the one in its manifest")


def _committed_steps(folder: RunFolder) -> dict[int, str]:
    """Step -> sha256 of its manifest, newest first, from latest.json."""
    path = folder.checkpoints / LATEST
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    return {entry["step"]: entry["manifest"] for entry in parse_latest(content, path)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
