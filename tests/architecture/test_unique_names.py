"""File names and class names are unique in the package, and no alias has the name of a class."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "mimic_ray"
EXCEPT_FILES = {"__init__.py"}


def repeated(found: Iterator[tuple[str, Path]]) -> dict[str, list[str]]:
    files = defaultdict(list)
    for name, path in found:
        files[name].append(path.relative_to(PACKAGE).as_posix())
    return {name: paths for name, paths in files.items() if len(paths) > 1}


def classes(package: Path) -> Iterator[tuple[str, Path]]:
    """Public classes at the top level of each module."""
    for path in package.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path


def aliases(package: Path) -> Iterator[tuple[str, Path]]:
    """`Name = dict[str, float]` and the like, except for the option types of the command line."""
    for path in set(package.rglob("*.py")) - set((package / "cli").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)]) if re.fullmatch("[A-Z][a-z].*", name):
                    yield name, path


def test_no_two_files_have_the_same_name():
    found = ((path.name, path) for path in PACKAGE.rglob("*.py"))
    assert repeated(pair for pair in found if pair[0] not in EXCEPT_FILES) == {}


def test_no_two_public_classes_have_the_same_name():
    assert repeated(classes(PACKAGE)) == {}


def test_no_alias_has_the_name_of_a_class():
    """Those of the command line are not imported elsewhere."""
    known = {name: path for name, path in classes(PACKAGE) if path.parent.name != "cli"}
    assert len({*aliases(PACKAGE)}) > 20
    assert [pair for pair in aliases(PACKAGE) if pair[0] in known] == []
