"""Containers and plain values that a pickle builds by calling a function, built without it.

Each function takes the arguments of the one that the pickle names, and returns NotImplemented for
any that a pickler does not write.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from mimic_ray.weight_files.inert import OpaqueKey, Placeholder

_SCALAR_FORMATS = {
    "f8": "<d",
    "f4": "<f",
    "f2": "<e",
    "b1": "?",
    "i8": "<q",
    "i4": "<i",
    "i2": "<h",
    "i1": "b",
    "u8": "<Q",
    "u4": "<I",
    "u2": "<H",
    "u1": "B",
}


def _ordered(items: Any = ()) -> Any:
    ordered: OrderedDict[Any, Any] = OrderedDict()
    for pair in items:
        key, value = pair
        ordered[_hashable(key)] = value
    return ordered


def _counter(counts: Any = None) -> Any:
    if counts is None or type(counts) is dict:
        return Counter(counts)
    return NotImplemented


def _set(kind: type) -> Callable[..., Any]:
    return lambda items=(): kind(map(_hashable, items))


def _bytearray(content: Any = b"", encoding: Any = "latin-1") -> Any:
    if isinstance(content, bytes):
        return bytearray(content)
    made = _encoded(content, encoding)
    return made if made is NotImplemented else bytearray(made)


def _encoded(text: Any, encoding: Any = "latin-1") -> Any:
    """How protocols 0 to 2 store bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        return NotImplemented
    return text.encode("latin-1")


def _complex(real: Any = 0, imaginary: Any = 0) -> Any:
    plain = all(type(part) in (int, float) for part in (real, imaginary))
    return complex(real, imaginary) if plain else NotImplemented


def _scalar(dtype: Any, content: Any, *_: Any) -> Any:
    """The value of a numpy scalar, such as an accuracy that training code has noted."""
    code = dtype.arguments[0] if isinstance(dtype, Placeholder) and dtype.arguments else None
    form = _SCALAR_FORMATS.get(code, "") if isinstance(code, str) else ""
    if isinstance(content, str):
        content = content.encode("latin-1")  # of Python 2
    if not form or not isinstance(content, bytes) or len(content) != struct.calcsize(form):
        return NotImplemented
    return struct.unpack(form, content)[0]


def _hashable(value: Any) -> Any:
    return value if type(value) in (str, int, float, bool, bytes, type(None)) else OpaqueKey(value)


PLAIN_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "_codecs.encode": _encoded,
    "builtins.set": _set(set),
    "builtins.frozenset": _set(frozenset),
    "builtins.bytes": lambda: b"",
    "builtins.bytearray": _bytearray,
    "builtins.complex": _complex,
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
}
