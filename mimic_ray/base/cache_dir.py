"""The cache folder: files that can be computed again."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path


def cache_dir() -> Path:
    """This user's cache folder: MIMIC_RAY_CACHE if set, else the platform's usual folder.

    Where the user has no home, or one that cannot be written (an arbitrary user of a container),
    a folder of this user below the one for temporary files. It may be deleted while no command
    runs.
    """
    if named := os.environ.get("MIMIC_RAY_CACHE"):
        return Path(named)
    with suppress(RuntimeError):  # there is no home
        usual = _usual()
        existing = next(path for path in (usual, *usual.parents) if path.exists())
        if os.access(existing, os.W_OK | os.X_OK):
            return usual
    return Path(tempfile.gettempdir(), f"mimic-ray-cache-{os.getuid()}")


def _usual() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mimic-ray"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "mimic-ray"
