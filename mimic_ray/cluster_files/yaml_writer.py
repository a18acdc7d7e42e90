"""Documents as YAML text, with the reason for a line above it.

PyYAML writes no comments, and a cluster file without them is a riddle. A `Noted` value carries
one; `plain` gives the same document without, which is what the text reads back as (tested).
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WIDTH = 98


@dataclass(frozen=True)
class Noted:
    """A value and the comment to be written above its key."""

    value: Any
    note: str


def plain(document: Any) -> Any:
    """The document without its comments."""
    if isinstance(document, Noted):
        return plain(document.value)
    if isinstance(document, Mapping):
        return {key: plain(value) for key, value in document.items()}
    if isinstance(document, list):
        return [plain(item) for item in document]
    return document


def yaml_text(documents: list[Any], header: str) -> str:
    """All documents in one text, after a comment whose lines stay as they are: commands."""
    bodies = ["\n".join(_lines(document, 0)) + "\n" for document in documents]
    return "".join(f"# {line}\n" for line in header.splitlines()) + "---\n".join(bodies)


def _lines(node: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(node, Mapping):
        for key, value in node.items():
            note, value = (value.note, value.value) if isinstance(value, Noted) else ("", value)
            yield from _comment(note, indent) if note else ()
            yield from _entry(f"{pad}{_scalar(key)}:", value, indent)
    else:
        for item in node:
            note, value = (item.note, item.value) if isinstance(item, Noted) else ("", item)
            yield from _comment(note, indent) if note else ()
            if _is_block(value):
                first, *rest = _lines(value, indent + 2)
                yield f"{pad}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{pad}- {_scalar(value)}"


def _entry(opening: str, value: Any, indent: int) -> Iterator[str]:
    if _is_block(value):
        yield opening
        yield from _lines(value, indent + 2)
    else:
        yield f"{opening} {_scalar(value)}"


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping | list) and bool(value)


def _scalar(value: Any) -> str:
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=False)
    return str(text).removesuffix("\n").removesuffix("\n...")


def _comment(text: str, indent: int) -> Iterator[str]:
    pad = " " * indent
    for paragraph in text.splitlines():
        for line in textwrap.wrap(paragraph, _WIDTH - indent - 2, break_on_hyphens=False) or [""]:
            yield f"{pad}# {line}".rstrip()
