"""Griffe extension: the code below `Example:` in a docstring is shown as Python, not as prose."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^Example:\n((?:    .*\n|\s*\n)*(?:    .*))", re.MULTILINE)


def fenced(docstring: str) -> str:
    """The docstring with its example in a fenced code block."""
    return _EXAMPLE.sub(
        lambda found: f"**Example**\n\n```python\n{_dedented(found[1])}\n```", docstring
    )


def _dedented(code: str) -> str:
    return re.sub(r"^    ", "", code, flags=re.MULTILINE).strip("\n")


class FencedExamples(griffe.Extension):
    """Changes each docstring before it is parsed into sections."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
