"""Finds the tensors in the tree that torch_file.py gives, with limits on the work.

A file of 1 kB can contain a tuple of tuples with 2^40 leaves. So this uses an explicit stack and
enters every container once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mimic_ray.base.text import count, plain
from mimic_ray.weight_files.inert import Device, Dtype, TensorRef

KeyPath = tuple[str, ...]

# Arguments of training code that distinguish encoders with the same keys: see clues.py.
CLUE_KEYS = frozenset(
    (
        *("arch", "architecture", "model", "model_name", "backbone", "timm_name", "encoder"),
        *("num_heads", "num_attention_heads", "hidden_act", "num_register_tokens"),
        *("moco_m", "moco_t", "moco_dim", "teacher_temp"),
    )
)

_ENTERED = (TensorRef, dict, list, tuple)


@dataclass
class FoundTensors:
    """`groups`: path of keys and indices of lists -> the tensors there by name, in order.

    `notes`: other content of the top level as printable text.
    """

    groups: dict[KeyPath, dict[str, TensorRef]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Node:
    value: object
    path: KeyPath
    named: bool  # whether the path leads there: string keys, and dictionaries in lists


def walk(content: object) -> FoundTensors:
    """All tensors of `content`."""
    found = FoundTensors()
    seen: set[int] = set()
    unnamed: dict[str, int] = {}  # top-level key -> number of tensors below it without a name
    stack = [_Node(content, (), True)]
    while stack:
        node = stack.pop()
        if isinstance(node.value, TensorRef):
            if node.named and node.path:
                found.groups.setdefault(node.path[:-1], {})[node.path[-1]] = node.value
            else:
                top = node.path[0] if node.path else ""
                unnamed[top] = unnamed.get(top, 0) + 1
        elif id(node.value) not in seen:
            seen.add(id(node.value))
            stack.extend(reversed([*_children(node)]))
    if isinstance(content, dict):
        found.notes.update(_notes(content, found, unnamed))
    return found


def _children(node: _Node) -> Iterator[_Node]:
    """The tensors and containers in a container, but no other values."""
    if isinstance(node.value, dict):
        for key, value in node.value.items():
            if isinstance(value, _ENTERED):
                yield _Node(value, (*node.path, _key(key)), node.named and isinstance(key, str))
    elif isinstance(node.value, list | tuple):
        for index, value in enumerate(node.value):
            if isinstance(value, _ENTERED):
                named = node.named and isinstance(value, dict)
                yield _Node(value, (*node.path, str(index)), named)


def _notes(content: dict[Any, Any], found: FoundTensors, unnamed: dict[str, int]) -> Iterator[Any]:
    with_groups = {path[0] for path in found.groups if path}
    for key, value in content.items():
        top = _key(key)
        if isinstance(value, TensorRef) or top in with_groups:
            continue
        words = _described(value)
        if unnamed.get(top):
            words += f", {count(unnamed[top], 'tensor')}"
        yield plain(top), words
        if isinstance(value, dict):
            yield from _clues(plain(top), value)


def _clues(top: str, arguments: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """What the arguments of a training run say about the encoder: ("args.arch", "vit_small")."""
    for key in [key for key in arguments if isinstance(key, str) and key in CLUE_KEYS]:
        if isinstance(arguments[key], str | int | float):
            yield f"{top}.{key}", _described(arguments[key])


def _key(key: object) -> str:
    return key if isinstance(key, str) else _described(key)


def _described(value: object) -> str:
    """A short description of any value; never the text of a container, which may be endless."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge integer"
    if isinstance(value, float | int | str | bool | None):
        return plain(value)
    if isinstance(value, dict | list | tuple | set | bytes | bytearray):
        return f"{type(value).__name__} of {len(value):,}"
    if isinstance(value, Dtype):
        return f"torch.{value.name}"
    return "device" if isinstance(value, Device) else type(value).__name__
