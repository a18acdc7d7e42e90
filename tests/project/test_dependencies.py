"""What the package imports is what pyproject.toml declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What comes with another package: import -> that package.
BUNDLED = {"botocore": "boto3", "psutil": "ray"}


def imported() -> set[str]:
    """Names of all packages that the sources import, anywhere in a file."""
    names = set()
    for path in (ROOT / "mimic_ray").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"mimic_ray"}


def declared(*extras: str) -> set[str]:
    """Normalised names of the requirements, and of those of these extras."""
    optional = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    return {normalised(re.split(r"[\[<>=!~ ;]", line)[0]) for line in lines}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions() -> dict[str, set[str]]:
    """Each import of the sources -> the packages that have it."""
    sources = packages_distributions()
    return {
        name: {normalised(each) for each in [BUNDLED.get(name, name), *sources.get(name, [])]}
        for name in imported()
    }


def test_every_import_is_a_declared_dependency():
    known = declared("cluster", "cluster-check", "hub")
    assert [name for name, packages in distributions().items() if not packages & known] == []


def test_every_dependency_of_a_plain_install_is_imported():
    assert declared() - set().union(*distributions().values()) == set()
