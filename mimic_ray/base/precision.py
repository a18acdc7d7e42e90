"""The number format in which encoders run. Separate from `devices`, which imports torch."""

from __future__ import annotations

from typing import Literal

# "auto" selects bf16 if the hardware supports it, else fp32.
Precision = Literal["auto", "fp32", "bf16"]
