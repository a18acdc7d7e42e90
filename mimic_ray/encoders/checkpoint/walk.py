"""What lies in an unpickled object: tensors by name, and what else, with bounds on the effort.

A file of 1 kB can hold 200,000 nested lists, or a tuple of tuples with 2^40 leaves: any recursive
walk, print or copy of it overflows or never ends. So: an explicit stack, every container once.
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
class Found:
    """`groups`: path of dict keys -> the tensors that lie there by name, in the file's order.

    `notes`: what else the top level holds, in words that may be printed.
    """

    groups: dict[Path, dict[str, Tensor]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Node:
    value: object
    path: Path
    named: bool  # whether every step of the path is a text key of a dict


def walk(content: object, name: str, size: int) -> Found:
    """All tensors of `content`, checked; `size` in bytes is that of the file called `name`.

    Raises UnsafeCheckpointError when the structure or the sum of the tensors is out of all
    proportion, and what `check_tensor` raises.
    """
    found = Found()
    seen: set[int] = set()
    loose: dict[str, int] = {}  # top-level key -> tensors below it that have no name
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
                loose[top] = loose.get(top, 0) + 1
            continue
        if not isinstance(node.value, dict | list | tuple | set) or id(node.value) in seen:
            continue
        seen.add(id(node.value))
        nodes_then = nodes + len(stack) + len(node.value)
        if len(node.path) >= DEPTH_LIMIT or nodes_then > NODE_LIMIT:
            raise UnsafeCheckpointError(
                f"{name} nests deeper than {DEPTH_LIMIT} levels or holds more than {NODE_LIMIT:,} "
                "values, which no network does. Ask its author for the weights alone."
            )
        stack.extend(reversed([*_children(node)]))
    if total > 2 * size:
        raise UnsafeCheckpointError(
            f"{name} has {size:,} bytes, but its tensors claim {total:,}. Ask its author for the "
            "weights alone."
        )
    if isinstance(content, dict):
        found.notes.update(_notes(content, found, loose))
    return found


def _children(node: _Node) -> Iterator[_Node]:
    if isinstance(node.value, dict):
        for key, value in node.value.items():
            named = node.named and isinstance(key, str)
            yield _Node(value, (*node.path, _key(key)), named)
        # An OrderedDict may carry attributes: state_dict() puts its `_metadata` there.
        for value in getattr(node.value, "__dict__", {}).values():
            yield _Node(value, (*node.path, "(attributes)"), False)
    elif isinstance(node.value, list | tuple | set):
        for index, value in enumerate(node.value):
            yield _Node(value, (*node.path, str(index)), False)


def _notes(content: dict[Any, Any], found: Found, loose: dict[str, int]) -> Iterator[Any]:
    with_groups = {path[0] for path in found.groups if path}
    for key, value in content.items():
        top = _key(key)
        if isinstance(value, Tensor) or top in with_groups:
            continue
        words = _described(value)
        if loose.get(top):
            words += f", {count(loose[top], 'tensor')}"
        yield plain(top), words


def _key(key: object) -> str:
    return key if isinstance(key, str) else _described(key)


def _described(value: object) -> str:
    """A value in few words, whatever it is; never the text of a container, which may not end."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge integer"
    if isinstance(value, float | int | str | bool | None):
        return plain(value)
    if isinstance(value, dict | list | tuple | set | bytes | bytearray):
        return f"{type(value).__name__} of {len(value):,}"
    return type(value).__name__
