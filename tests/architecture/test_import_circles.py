"""No module imports itself through others, not even inside functions or for types only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "mimic_ray"


def imports_of_modules(package: Path) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, anywhere in its file."""
    files = {module_name(path, package): path for path in package.rglob("*.py")}
    return {
        name: {found for found in _imported(path, files) if found != name}
        for name, path in files.items()
    }


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which this test does not follow"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                if inside in files:
                    yield inside
                elif node.module in files:
                    yield node.module


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Sets of modules that all reach each other: the strongly connected components, by Tarjan."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for other in imports[module]:
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in path:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            component = path[path.index(module) :]
            del path[path.index(module) :]
            if len(component) > 1:
                found.append(sorted(component))

    for module in imports:
        if module not in number:
            visit(module)
    return found


def test_no_module_imports_itself_through_others():
    imports = imports_of_modules(PACKAGE)
    assert sum(map(len, imports.values())) > 1000, "the test finds the imports"
    assert circles(imports) == []


def test_circles_through_functions_types_and_third_modules_are_found(tmp_path):
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from pack.b import name\nimport pack.single\n")
    (package / "b.py").write_text("def f():\n    from pack import c\n")
    (package / "c.py").write_text("if TYPE_CHECKING:\n    from pack.a import name\n")
    (package / "single.py").write_text("import os\n")
    assert circles(imports_of_modules(package)) == [["pack.a", "pack.b", "pack.c"]]
