"""Arrays of numpy in a pickle, described as tensors whose bytes are in the pickle.

numpy writes an array as a call of `_reconstruct` with the state (version, shape, dtype, Fortran
order, bytes), or, for protocol 5, as a call of `_frombuffer` (bytes, dtype, shape, order). A dtype
is a call of `numpy.dtype` ("f4", ...) with the state (version, byte order, ...).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mimic_ray.weight_files.inert import (
    IN_PICKLE,
    ITEM_BYTES,
    Name,
    Placeholder,
    StorageRef,
    TensorRef,
)
from mimic_ray.weight_files.pickle_machine import PickleError

DIMENSION_LIMIT = 64  # of numpy

_RECONSTRUCT = {f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")}
_FROM_BUFFER = {f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")}
_DTYPES = {
    "b1": "bool",
    **{f"i{size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"u{size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
    **{f"f{size}": f"float{8 * size}" for size in (2, 4, 8)},
    **{f"c{size}": f"complex{8 * size}" for size in (8, 16)},
}


def array_of(made: Placeholder, number: int, is_array: bool) -> TensorRef | None:
    """The array that numpy would make, with the unique `number`; None if this is not an array, or
    one of objects, text or records.

    Raises PickleError if the bytes do not have the shape.
    """
    if made.name in _RECONSTRUCT and made.arguments[:1] == (Name("numpy.ndarray"),):
        *_version, shape, dtype, is_fortran, content = made.state
        order = "F" if is_fortran else "C"
    elif made.name in _FROM_BUFFER:
        content, dtype, shape, order, *axes = made.arguments
        if axes and axes[0] is not None:
            return None  # neither in the order of C nor of Fortran
    else:
        return None
    code = dtype.arguments[0] if isinstance(dtype, Placeholder) and dtype.arguments else None
    known = _DTYPES.get(code) if isinstance(code, str) else None
    if isinstance(content, str):
        content = content.encode("latin-1")  # of Python 2
    if known is None or not isinstance(content, bytes | bytearray):
        return None
    assert isinstance(dtype, Placeholder)
    sizes = _sizes(shape)
    if len(content) != math.prod(sizes) * ITEM_BYTES[known]:
        raise PickleError("an array whose bytes do not have its shape")
    if isinstance(dtype.state, tuple) and dtype.state[1:2] == (">",):
        content = np.frombuffer(content, f">{code}").astype(f"<{code}").tobytes()
    strides = _strides(sizes) if order == "C" else _strides(sizes[::-1])[::-1]
    length = len(content)
    key = f"{IN_PICKLE}array {number}"
    storage = StorageRef(key, known, 0, length, length, bytes(content))
    return TensorRef(storage, known, 0, sizes, strides, is_array=is_array)


def _sizes(shape: Any) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if len(sizes) > DIMENSION_LIMIT or not all(
        type(size) is int and 0 <= size < 1 << 62 for size in sizes
    ):
        raise PickleError("an array without a shape")
    return sizes


def _strides(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """In elements, with the last one next to each other."""
    return tuple(math.prod(sizes[axis + 1 :]) for axis in range(len(sizes)))
