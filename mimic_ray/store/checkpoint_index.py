"""checkpoints/latest.json: which steps of a run are committed. Does not import torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import DamagedCheckpointError, option
from mimic_ray.store.run_folder import RunFolder

KEPT = 2  # committed steps
LATEST = "latest.json"
MANIFEST = "manifest.json"


def parse_latest(content: bytes, shown: object) -> list[dict[str, Any]]:
    """The entries of a latest.json, newest first.

    Raises DamagedCheckpointError, which calls the file `shown`.
    """
    try:
        entries: list[dict[str, Any]] = json.loads(content)["steps"]
        intact = latest_content(entries) == content
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise DamagedCheckpointError(
            f"{shown} is damaged (it does not match its own sha256): restore it from a copy, or "
            f"start again with another {option('out')}."
        )
    return entries


def latest_content(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """The content of a latest.json with these entries and the sha256 of itself."""
    own = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
    return json.dumps({"steps": entries, "sha256": own}, indent=2).encode()


def step_folder(folder: RunFolder, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return folder.checkpoints / f"step-{step:06d}"
