"""Finds the tensors in an unpickled object, with limits on the work.

A file of 1 kB can contain 200,000 nested lists, or a tuple of tuples with 2^40 leaves. Recursion,
printing or copying overflows or never ends. So this uses an explicit stack and enters every
container once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mimic_ray.base.errors import UnsafeCheckpointError
from mimic_ray.base.text import count, plain
from mimic_ray.encoders.checkpoint.tensors import check_tensor

DEPTH_LIMIT = 16
NODE_LIMIT = 1_000_000

Path = tuple[str, ...]


@dataclass
class FoundTensors:
    """`groups`: path of dict keys -> the tensors there by name, in the file's order.

    `notes`: other content of the top level as printable text.
    """

    groups: dict[Path, dict[str, Tensor]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Node:
    value: object
    path: Path
    named: bool  # whether every step of the path is a string key of a dict


def walk(content: object, name: str, size: int) -> FoundTensors:
    """All tensors of `content`, checked; `size` is that of the file called `name`, in bytes.

    Raises UnsafeCheckpointError if the structure or the total size of the tensors is implausible
    for the file, and what `check_tensor` raises.
    """
    found = FoundTensors()
    seen: set[int] = set()
    unnamed: dict[str, int] = {}  # top-level key -> number of tensors below it without a name
    nodes, total = 0, 0
    stack = [_Node(content, (), True)]
    while stack:
        node = stack.pop()
        nodes += 1
        if isinstance(node.value, Tensor):
            total += check_tensor(node.value, plain(".".join(node.path)), name)
            if node.named and node.path:
                found.groups.setdefault(node.path[:-1], {})[node.path[-1]] = node.value
            else:
                top = node.path[0] if node.path else ""
                unnamed[top] = unnamed.get(top, 0) + 1
            continue
        if not isinstance(node.value, dict | list | tuple | set) or id(node.value) in seen:
            continue
        seen.add(id(node.value))
        nodes_then = nodes + len(stack) + len(node.value)
        if len(node.path) >= DEPTH_LIMIT or nodes_then > NODE_LIMIT:
            raise UnsafeCheckpointError(
                f"{name} has more than {DEPTH_LIMIT} levels or {NODE_LIMIT:,} values, more than "
                "any network. Ask its author for the weights alone."
            )
        stack.extend(reversed([*_children(node)]))
    if total > 2 * size:
        raise UnsafeCheckpointError(
            f"{name} has {size:,} bytes, but its tensors claim {total:,}. Ask its author for the "
            "weights alone."
        )
    if isinstance(content, dict):
        found.notes.update(_notes(content, found, unnamed))
    return found


def _children(node: _Node) -> Iterator[_Node]:
    if isinstance(node.value, dict):
        for key, value in node.value.items():
            named = node.named and isinstance(key, str)
            yield _Node(value, (*node.path, _key(key)), named)
        # An OrderedDict may have attributes: state_dict() stores its `_metadata` there.
        for value in getattr(node.value, "__dict__", {}).values():
            yield _Node(value, (*node.path, "(attributes)"), False)
    elif isinstance(node.value, list | tuple | set):
        for index, value in enumerate(node.value):
            yield _Node(value, (*node.path, str(index)), False)


def _notes(content: dict[Any, Any], found: FoundTensors, unnamed: dict[str, int]) -> Iterator[Any]:
    with_groups = {path[0] for path in found.groups if path}
    for key, value in content.items():
        top = _key(key)
        if isinstance(value, Tensor) or top in with_groups:
            continue
        words = _described(value)
        if unnamed.get(top):
            words += f", {count(unnamed[top], 'tensor')}"
        yield plain(top), words


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
    return type(value).__name__
