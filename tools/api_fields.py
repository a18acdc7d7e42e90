"""Tables of the fields of dataclasses, made from their source without importing it."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "mimic_ray"


def table(path: str) -> str:
    """The fields and properties of `"module.Class"` of the package, as a Markdown table.

    The meaning of a field is the comment at the end of its line, that of a property its docstring.
    """
    found, source = _class(path)
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            comment = _comment(source.splitlines()[(node.end_lineno or 0) - 1])
            rows.append(_row(node.target.id, node.annotation, comment))
        elif isinstance(node, ast.FunctionDef) and _is_property(node):
            rows.append(_row(node.name, node.returns, ast.get_docstring(node) or ""))
    return "\n".join(rows) + "\n"


def has_method(path: str, name: str) -> bool:
    """Whether `"module.Class"` of the package defines the method itself."""
    return any(isinstance(n, ast.FunctionDef) and n.name == name for n in _class(path)[0].body)


def _class(path: str) -> tuple[ast.ClassDef, str]:
    """The class and the source of its module."""
    module, _, name = path.rpartition(".")
    source = (PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    found = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    return found, source


def _is_property(node: ast.FunctionDef) -> bool:
    names = [each.id for each in node.decorator_list if isinstance(each, ast.Name)]
    return "property" in names and not node.name.startswith("_")


def _comment(line: str) -> str:
    return line.partition("  # ")[2].strip()


def _row(name: str, kind: ast.expr | None, meaning: str) -> str:
    text = ast.unparse(kind).replace("|", "\\|") if kind else ""
    return f"| `{name}` | {text} | {' '.join(meaning.split())} |"
