"""The number format in which encoders run. Not in `devices`, which imports torch."""

from __future__ import annotations

from typing import Literal

# "auto" is bf16 where the hardware supports it, else fp32.
Precision = Literal["auto", "fp32", "bf16"]
