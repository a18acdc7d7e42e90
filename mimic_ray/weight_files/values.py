"""Counts the values of a tensor that are not finite, by their bits, without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# NaN and infinity have all bits of the exponent set; three formats have one code for NaN instead.
EXPONENTS = {
    "float64": 0x7FF0_0000_0000_0000,
    "float32": 0x7F80_0000,
    "float16": 0x7C00,
    "bfloat16": 0x7F80,
    "float8_e5m2": 0x7C,
    "float8_e4m3fn": 0x7F,
}
_CHUNK = 1 << 18


def not_finite(bits: NDArray[np.unsignedinteger], dtype: str) -> int:
    """How many values of this `dtype` are NaN or infinity; `bits` are its values as integers."""
    mask = EXPONENTS.get(dtype)
    if mask is None:
        return 0
    flat = bits.reshape(-1)
    number = flat.dtype.type(mask)
    return sum(
        int(np.count_nonzero(flat[start : start + _CHUNK] & number == number))
        for start in range(0, len(flat), _CHUNK)
    )
