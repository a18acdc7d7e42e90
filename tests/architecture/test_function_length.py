"""A function can be read without scrolling: at most 60 lines below its signature and docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "mimic_ray"
MOST_LINES = 60
# Tables with a line or two for each network.
TABLES = {"encoders/conv_table.py", "encoders/vit_table.py"}


def lengths(source: str) -> Iterator[tuple[str, int]]:
    """Each function of a file with the lines of its body, nested functions and comments too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, node.end_lineno - body[0].lineno + 1 if body else 0


def test_no_function_is_longer_than_a_screen():
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    assert files.keys() >= TABLES
    long = [
        f"{name}: {function} has {lines} lines"
        for name, path in files.items()
        if name not in TABLES
        for function, lines in lengths(path.read_text())
        if lines > MOST_LINES
    ]
    assert long == []


def test_lines_of_the_body_are_counted_without_signature_and_docstring():
    code = 'def f(\n    a,\n):\n    """Two\n    lines."""\n    b = a\n\n    return b\n'
    assert dict(lengths(code)) == {"f": 3}
    inside = "class C:\n    async def g(self):\n        def h(): ...\n        return h\n"
    assert dict(lengths(inside)) == {"g": 2, "h": 1}
