"""The commit protocol: a run can be killed at any instruction and still has a whole checkpoint.

    checkpoints/step-000120/    tensors.safetensors, state.json, manifest.json; arrives by rename
    checkpoints/latest.json     the committed steps, newest first; replaced by rename, afterwards

A step is committed once latest.json names it. latest.json has the sha256 of each manifest and of
itself, a manifest has size and sha256 of each file: no flipped bit goes unnoticed. The last two
committed steps stay; older ones go only after the new one is committed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import DamagedCheckpointError
from mimic_ray.store import state_file
from mimic_ray.store.run_folder import RunFolder

KEPT = 2
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Committed:
    """A committed step. `instead_of` is a later one whose folder somebody removed, else None."""

    step: int
    state: dict[str, Any]
    instead_of: int | None = None


def commit(folder: RunFolder, step: int, state: Mapping[str, Any]) -> None:
    """Makes `state` the latest checkpoint. See state_file.py for what a state may hold.

    A step that is committed already stays as it is: within a run the step determines the state.
    Raises DiskFullError or OSError, and leaves the previous checkpoint the latest.
    """
    target = _step_folder(folder, step)
    committed = _committed_steps(folder)
    if step in committed and target.exists():
        return
    with files.disk_errors(target):
        manifest = _write_step(folder, step, state)
        earlier = {known: sha256 for known, sha256 in committed.items() if known < step}
        kept = dict(sorted({step: _sha256(manifest), **earlier}.items(), reverse=True)[:KEPT])
        files.write_bytes(_latest_path(folder), _latest_content(kept))
        _delete_all_but(folder, kept)


def latest(folder: RunFolder) -> Committed | None:
    """The latest committed step with its state on the CPU, None before the first commit.

    Raises DamagedCheckpointError, naming the file: never goes back to an older step by itself.
    Somebody who wants that removes the folder of the damaged step, as the error says.
    """
    committed = _committed_steps(folder)
    if not committed:
        return None
    newest = next(iter(committed))
    present = [step for step in committed if _step_folder(folder, step).exists()]
    if not present:
        raise DamagedCheckpointError(
            f"{_step_folder(folder, newest)} is missing though latest.json names it: restore it "
            "from a copy, or start again with another --out."
        )
    step = present[0]
    _verify(folder, step, committed)
    state = state_file.read_state(_step_folder(folder, step))
    return Committed(step, state, newest if step != newest else None)


def committed_step(folder: RunFolder) -> int | None:
    """The step that latest.json names last, unread; None before the first commit.

    For those who tell how a run ended. Raises DamagedCheckpointError for latest.json alone.
    """
    return next(iter(_committed_steps(folder)), None)


def _write_step(folder: RunFolder, step: int, state: Mapping[str, Any]) -> bytes:
    """Puts the step's folder in place and returns its manifest."""
    target = _step_folder(folder, step)
    if target.exists():  # a writer was killed before it could commit this one
        shutil.rmtree(target)
    files.make_folder(folder.checkpoints)
    with files.new_folder(target) as unfinished:
        state_file.write_state(unfinished, state)
        written = {
            path.name: {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
            for path in sorted(unfinished.iterdir())
        }
        manifest = json.dumps({"step": step, "files": written}, indent=2).encode()
        files.write_bytes(unfinished / _MANIFEST, manifest)
    return manifest


def _delete_all_but(folder: RunFolder, kept: Iterable[int]) -> None:
    for other in {*folder.checkpoints.glob("step-*")} - {_step_folder(folder, k) for k in kept}:
        shutil.rmtree(other)


def _verify(folder: RunFolder, step: int, committed: Mapping[int, str]) -> None:
    """Raises DamagedCheckpointError for the first file of `step` that is not what was written."""
    target = _step_folder(folder, step)
    earlier = [
        known for known in committed if known < step and _step_folder(folder, known).exists()
    ]
    way_out = f", or delete {target} to go on from step {earlier[0]}" if earlier else ""

    def damaged(name: str, reason: str) -> DamagedCheckpointError:
        return DamagedCheckpointError(
            f"{target / name} is damaged ({reason}): restore it from a copy{way_out}."
        )

    manifest = target / _MANIFEST
    if not manifest.exists():
        raise damaged(_MANIFEST, "it is missing")
    if files.sha256(manifest) != committed[step]:
        raise damaged(_MANIFEST, "its sha256 is not the one in latest.json")
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
    path = _latest_path(folder)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        steps = {entry["step"]: entry["manifest"] for entry in json.loads(content)["steps"]}
        intact = _latest_content(steps) == content
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise DamagedCheckpointError(
            f"{path} is damaged (it does not match its own sha256): restore it from a copy, or "
            "start again with another --out."
        )
    return steps


def _latest_content(steps: Mapping[int, str]) -> bytes:
    return sealed([{"step": step, "manifest": sha256} for step, sha256 in steps.items()])


def sealed(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """The content of a latest.json that names `entries`, with the sha256 of itself."""
    own = _sha256(json.dumps(entries).encode())
    return json.dumps({"steps": entries, "sha256": own}, indent=2).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _latest_path(folder: RunFolder) -> Path:
    return folder.checkpoints / "latest.json"


def _step_folder(folder: RunFolder, step: int) -> Path:
    return folder.checkpoints / f"step-{step:06d}"
