"""Runs a pickle of protocol 0 to 5 without importing or calling anything.

Where a pickle names a function or class, this asks `Objects.find`; where it calls one, it asks
`Objects.call`. What they return is a description (inert.py). pickletools of the standard library
decodes the opcodes; it executes none.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from mimic_ray.weight_files.inert import Name, OpaqueKey, Placeholder

_SCALARS = (str, int, float, bool, bytes, type(None))

# Opcodes whose argument is the value, and those with a fixed value.
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BYTEARRAY8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME", "READONLY_BUFFER"}


class PickleError(ValueError):
    """Bytes that no pickler writes."""


class Objects(Protocol):
    """What the names in a pickle stand for."""

    def find(self, module: str, name: str) -> Any: ...
    def call(self, function: Any, arguments: Any) -> Any: ...
    def persistent(self, identity: Any) -> Any: ...


def run_pickle(stream: Any, objects: Objects) -> Any:
    """The object that the pickle at the position of `stream` describes.

    `stream` has read(), readline() and tell(), and is left behind the pickle. Raises many types of
    errors for bytes that are not a pickle: untrusted bytes can fail anywhere.
    """
    return _Machine(objects).run(stream)


class _Machine:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each mark
        self._memo: dict[int, Any] = {}

    def run(self, stream: Any) -> Any:
        for code, argument, _position in pickletools.genops(stream):
            name = code.name
            if name in _VALUES:
                self._stack.append(argument)
            elif name in _IGNORED:
                pass
            elif name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name])
            elif name in _EMPTY:
                self._stack.append(_EMPTY[name]())
            elif name in _TUPLES:
                length = _TUPLES[name]
                items = tuple(self._stack[-length:])
                if len(items) < length:
                    raise PickleError("a tuple of too few values")
                self._stack[-length:] = [items]
            elif name == "STOP":
                return self._stack.pop()
            else:
                _STEPS[name](self, argument)
        raise PickleError("no end")

    def _marked(self) -> list[Any]:
        """The values above the last mark."""
        items, self._stack = self._stack, self._below.pop()
        return items

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._marked()

    def _put(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    def _get(self, number: int) -> None:
        self._stack.append(self._memo[number])

    def _add(self, target: Any, items: list[Any]) -> None:
        """Appends to a list or set."""
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update(map(_key, items))
        elif isinstance(target, Placeholder):
            target.items.extend(items)
        else:
            raise PickleError(f"values added to a {type(target).__name__}")

    def _set(self, target: Any, pairs: list[Any]) -> None:
        """Sets entries of a dictionary, given as alternating keys and values."""
        entries = target.entries if isinstance(target, Placeholder) else target
        if not isinstance(entries, dict) or len(pairs) % 2:
            raise PickleError(f"entries set in a {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            entries[_key(key)] = value

    def _append(self, _: Any) -> None:
        value = self._stack.pop()
        self._add(self._stack[-1], [value])

    def _appends(self, _: Any) -> None:
        items = self._marked()
        self._add(self._stack[-1], items)

    def _setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set(self._stack[-1], [key, value])

    def _setitems(self, _: Any) -> None:
        pairs = self._marked()
        self._set(self._stack[-1], pairs)

    def _dict(self, _: Any) -> None:
        new: dict[Any, Any] = {}
        self._set(new, self._marked())
        self._stack.append(new)

    def _find(self, path: str) -> None:
        module, _, name = path.partition(" ")
        self._stack.append(self._objects.find(module, name))

    def _stack_find(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise PickleError("a name that is not text")
        self._stack.append(self._objects.find(module, name))

    def _call(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(self._objects.call(function, arguments))

    def _call_with_names(self, _: Any) -> None:
        named = self._stack.pop()
        self._call(None)
        made = self._stack[-1]
        if isinstance(made, Placeholder) and isinstance(named, dict):
            made.entries.update(named)

    def _inst(self, path: str) -> None:
        arguments = tuple(self._marked())
        self._find(path)
        self._stack.append(self._objects.call(self._stack.pop(), arguments))

    def _obj(self, _: Any) -> None:
        function, *arguments = self._marked()
        self._stack.append(self._objects.call(function, tuple(arguments)))

    def _extension(self, number: int) -> None:
        self._stack.append(self._objects.find("copyreg", f"extension {number}"))

    def _build(self, _: Any) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, OrderedDict) and isinstance(state, dict):
            # state_dict() has an attribute `_metadata`. No attribute may hide a method.
            harmless = (k for k in state if isinstance(k, str) and not hasattr(OrderedDict, k))
            vars(target).update({key: state[key] for key in harmless})
        elif isinstance(target, Name):
            self._objects.call(target, ())  # a change of the class itself

    def _persistent(self, identity: Any) -> None:
        self._stack.append(self._objects.persistent(identity))


def _key(value: Any) -> Any:
    """`value` as a key, whose hash takes no time."""
    flat = type(value) is tuple and len(value) < 100
    if type(value) in _SCALARS or (flat and all(type(item) in _SCALARS for item in value)):
        return value
    return OpaqueKey(value)


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine._mark,
    "POP": _Machine._pop,
    "POP_MARK": lambda machine, _: (machine._marked(), None)[1],
    "DUP": lambda machine, _: machine._stack.append(machine._stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine._put),
    "MEMOIZE": lambda machine, _: machine._put(len(machine._memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine._get),
    "TUPLE": lambda machine, _: _push(machine, tuple(machine._marked())),
    "LIST": lambda machine, _: _push(machine, machine._marked()),
    "FROZENSET": lambda machine, _: _push(machine, frozenset(map(_key, machine._marked()))),
    "DICT": _Machine._dict,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "ADDITEMS": _Machine._appends,
    "SETITEM": _Machine._setitem,
    "SETITEMS": _Machine._setitems,
    "GLOBAL": _Machine._find,
    "STACK_GLOBAL": _Machine._stack_find,
    "REDUCE": _Machine._call,
    "NEWOBJ": _Machine._call,
    "NEWOBJ_EX": _Machine._call_with_names,
    "INST": _Machine._inst,
    "OBJ": _Machine._obj,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), _Machine._extension),
    "BUILD": _Machine._build,
    "PERSID": _Machine._persistent,
    "BINPERSID": lambda machine, _: machine._persistent(machine._stack.pop()),
    "NEXT_BUFFER": lambda machine, _: _push(machine, Placeholder("an out-of-band buffer")),
}


def _push(machine: _Machine, value: Any) -> None:
    machine._stack.append(value)
