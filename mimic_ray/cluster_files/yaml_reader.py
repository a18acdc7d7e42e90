"""YAML that knows its lines: what a finding points at.

Only plain YAML is accepted: no tags that make objects, no key twice in a mapping (YAML takes the
last silently), no text that grows when its aliases are followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import UsageError
from mimic_ray.base.text import plain

Path_ = tuple[str | int, ...]

_LARGEST = 512 << 10  # characters are scanned in Python, about 100 kB a second
_MOST_NODES = 100_000
_TEXT = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


@dataclass
class Document:
    """One YAML document. `lines` is the 1-based line of each key or item, by its path."""

    data: Any
    lines: dict[Path_, int] = field(default_factory=dict)
    twice: list[Path_] = field(default_factory=list)  # keys given more than once
    bare: list[Path_] = field(default_factory=list)  # keys that YAML reads as no text: 1, yes

    def line(self, path: Path_) -> int:
        """The line of `path`, or of the nearest thing above it that is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_documents(path: Path) -> list[Document]:
    """All documents of the file, empty ones left out. Raises UsageError if it is no YAML."""
    shown = plain(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise UsageError(f"{shown} is over 512 KiB: no cluster file.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown} is no YAML: it is not UTF-8 text.") from None
    documents = parse(text, shown)
    if not documents:
        raise UsageError(f"{shown} is empty.")
    return documents


def parse(text: str, shown: str) -> list[Document]:
    """All documents of a text; `shown` names it in errors."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        documents = []
        while loader.check_node():
            node = loader.get_node()
            document = Document(None)
            _walk(node, (), document, [0])
            document.data = loader.construct_document(node)
            if document.data is not None:
                documents.append(document)
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        at = f"line {where.line + 1}, column {where.column + 1}: " if where else ""
        raise UsageError(f"{shown} is no YAML: {at}{plain(error.problem)}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{shown} is no YAML: {plain(error)}.") from None
    return documents


def _walk(node: Any, path: Path_, document: Document, seen: list[int]) -> None:
    import yaml

    seen[0] += 1
    if seen[0] > _MOST_NODES:
        raise ValueError("its aliases make it grow without end")
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key.start_mark.line)
            inner = (*path, name)
            document.lines[inner] = key.start_mark.line + 1
            if key.tag not in _TEXT:
                document.bare.append(inner)
            if name in keys and key.tag != "tag:yaml.org,2002:merge":
                document.twice.append(inner)
            keys.add(name)
            _walk(value, inner, document, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), document, seen)
