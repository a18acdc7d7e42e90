"""Turns what the pickle machine built into plain containers with tensors.

- A network that was pickled whole, or compiled to TorchScript, becomes its state dictionary:
  "visual.conv1.weight".
- An array of numpy becomes a tensor.
- Another object becomes its attributes, entries or items, if it has any.
- What remains (calls, classes, functions) is dropped: a dictionary loses the key, a list or tuple
  has None there.

All is done with limits: content that is nested deeper than LEVELS is dropped.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Any

from mimic_ray.base.errors import UnsafeCheckpointError
from mimic_ray.weight_files.foreign_names import COMMAND, kind_of
from mimic_ray.weight_files.inert import (
    Device,
    Dtype,
    Name,
    OpaqueKey,
    Placeholder,
    Size,
    TensorRef,
)
from mimic_ray.weight_files.numpy_arrays import array_of

LEVELS = 64
TENSOR_LIMIT = 1_000_000

# In place of a value that is dropped.
DROPPED = object()

_LEAVES = (str, int, float, bool, bytes, bytearray, complex, type(None))
_OURS = (TensorRef, Dtype, Size, Device)
_MODULE = "__torch__."


def plain_tree(content: Any, name: str, keep_arrays: bool = True) -> tuple[Any, Counter[str]]:
    """`content` (changed in place) and how often each kind of object in it was not kept as it was.

    `keep_arrays`: whether an export has arrays of numpy where the file has them, or tensors. Raises
    UnsafeCheckpointError if a network in the file called `name` has implausibly many parts.
    """
    cleaner = _Cleaner(name, keep_arrays)
    tree = cleaner.clean(content, 0)
    return (None if tree is DROPPED else tree), cleaner.changed


class _Cleaner:
    def __init__(self, name: str, keep_arrays: bool) -> None:
        self.changed: Counter[str] = Counter()
        self._name = name
        self._keep_arrays = keep_arrays
        self._arrays = 0
        self._tensors = 0
        # By identity of the original, which is kept so that its identity stays its own.
        self._done: dict[int, tuple[Any, Any]] = {}

    def clean(self, value: Any, level: int) -> Any:
        if type(value) in _LEAVES or isinstance(value, _OURS):
            return value
        if id(value) in self._done:
            return self._done[id(value)][1]
        if level > LEVELS:
            self.changed["content nested too deep"] += 1
            return DROPPED
        if isinstance(value, Placeholder):
            return self._object(value, level)
        if isinstance(value, tuple):
            kept = tuple(self._item(item, level) for item in value)
            self._done[id(value)] = value, kept
            return kept
        self._done[id(value)] = value, value
        if isinstance(value, dict):
            self._clean_entries(value, level)
        elif isinstance(value, list):
            value[:] = [self._item(item, level) for item in value]
        elif isinstance(value, set | frozenset):
            kept_items = type(value)(item for item in value if not isinstance(item, OpaqueKey))
            self._done[id(value)] = value, kept_items
            return kept_items
        else:
            self.changed[value.path if isinstance(value, Name) else type(value).__name__] += 1
            return DROPPED
        return value

    def _item(self, item: Any, level: int) -> Any:
        kept = self.clean(item, level + 1)
        return None if kept is DROPPED else kept

    def _clean_entries(self, table: dict[Any, Any], level: int) -> None:
        tables = [table, vars(table)] if isinstance(table, OrderedDict) else [table]
        for entries in tables:
            for key in [*entries]:
                kept = self.clean(entries[key], level + 1)
                if isinstance(key, OpaqueKey):
                    self.changed["a key that is an object"] += 1
                    kept = DROPPED
                if kept is DROPPED:
                    del entries[key]
                else:
                    entries[key] = kept

    def _object(self, placeholder: Placeholder, level: int) -> Any:
        if (array := array_of(placeholder, self._arrays, self._keep_arrays)) is not None:
            self._arrays += 1
            self._done[id(placeholder)] = placeholder, array
            if not self._keep_arrays:
                self.changed["numpy.ndarray"] += 1
            return array
        self.changed[_shown(placeholder)] += 1
        content: Any = None
        if kind_of(placeholder.name) != COMMAND:
            attributes = _attributes(placeholder)
            if _is_network(placeholder, attributes):
                content = self._state_dict(placeholder)
            else:
                content = placeholder.entries or placeholder.items or attributes
        if not content:
            self._done[id(placeholder)] = placeholder, DROPPED
            return DROPPED
        # A copy, which is known before its content, because the content may refer to it.
        kept = list(content) if isinstance(content, list) else type(content)(content)
        self._done[id(placeholder)] = placeholder, kept
        if isinstance(kept, list):
            kept[:] = [self._item(item, level) for item in kept]
        else:
            self._clean_entries(kept, level)
        return kept

    def _state_dict(self, network: Placeholder) -> OrderedDict[str, TensorRef]:
        """The tensors of a network, as its state_dict() has them."""
        found: OrderedDict[str, TensorRef] = OrderedDict()
        stack = [(network, "", 0)]
        while stack:
            module, prefix, level = stack.pop()
            inner = []
            for key, value in _parts(module):
                if isinstance(value, TensorRef):
                    found[prefix + key] = value
                    self._tensors += 1
                elif isinstance(value, Placeholder):
                    inner.append((value, f"{prefix}{key}.", level + 1))
            self._tensors += len(inner)
            if level > LEVELS or self._tensors > TENSOR_LIMIT:
                raise UnsafeCheckpointError(
                    f"{self._name} contains a network of more than {LEVELS} levels or "
                    f"{TENSOR_LIMIT:,} parts. Ask its author for the weights alone."
                )
            stack += reversed(inner)
        return found


def _attributes(placeholder: Placeholder) -> dict[str, Any]:
    """The attributes that BUILD sets: a dictionary, or a pair with those in slots."""
    state = placeholder.state
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    tables = [part for part in parts if isinstance(part, dict)]
    return {key: value for part in tables for key, value in part.items() if isinstance(key, str)}


def _is_network(placeholder: Placeholder, attributes: dict[str, Any]) -> bool:
    return placeholder.name.startswith(_MODULE) or isinstance(attributes.get("_modules"), dict)


def _parts(module: Placeholder) -> Iterator[tuple[str, Any]]:
    """Tensors and modules of a module by name, in the order of its state_dict()."""
    attributes = _attributes(module)
    if module.name.startswith(_MODULE):
        yield from attributes.items()
        return
    hidden = attributes.get("_non_persistent_buffers_set")
    for table in ("_parameters", "_buffers", "_modules"):
        entries = attributes.get(table)
        for key, value in entries.items() if isinstance(entries, dict) else ():
            is_hidden = table == "_buffers" and isinstance(hidden, set) and key in hidden
            if isinstance(key, str) and not is_hidden:
                yield key, value


def _shown(placeholder: Placeholder) -> str:
    return "TorchScript" if placeholder.name.startswith(_MODULE) else placeholder.name
