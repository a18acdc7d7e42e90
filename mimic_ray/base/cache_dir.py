"""Where files are kept that can be made again."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """The folder of this user's cache; it may be deleted while no command runs.

    MIMIC_RAY_CACHE if it is set, else the platform's usual folder.
    """
    if named := os.environ.get("MIMIC_RAY_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mimic-ray"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimic-ray"
