"""The cache folder: files that can be computed again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """This user's cache folder: MIMIC_RAY_CACHE if set, else the platform's usual folder.

    It may be deleted while no command runs.
    """
    if named := os.environ.get("MIMIC_RAY_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mimic-ray"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimic-ray"
