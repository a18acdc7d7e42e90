"""How much a command tries: `full`, or less with `quick`."""

from __future__ import annotations

from typing import Literal

Effort = Literal["quick", "full"]
