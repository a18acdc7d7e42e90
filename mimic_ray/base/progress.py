"""News of long work, from wherever it runs to whoever shows it. Light: an actor imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far a phase is. `row` holds the last step's numbers while distilling."""

    phase: str  # "decode", "profile", "distil", or words to be shown as they are
    done: int
    total: int
    row: Mapping[str, float] = field(default_factory=dict)
    images_per_s: float = 0.0
