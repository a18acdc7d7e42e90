"""The tests mirror the package: mimic_ray/data/crop.py is tested in tests/data/test_crop.py.

Exceptions are listed with a reason: modules without a test file of their own in untested.toml, test
files of several modules in scenarios.toml. Keys are paths or patterns such as "mimic_ray/x/*.py".
"""

from __future__ import annotations

import ast
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def listed(name: str) -> dict[str, str]:
    return tomllib.loads((HERE / name).read_text())


def modules() -> list[str]:
    """Paths of all modules, except for packages that only have a docstring and imports."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mimic_ray").rglob("*.py")
        if path.name != "__main__.py" and not (path.name == "__init__.py" and _is_plain(path))
    )


def _is_plain(path: Path) -> bool:
    body = ast.parse(path.read_text()).body
    return all(isinstance(node, ast.Expr | ast.Import | ast.ImportFrom) for node in body)


def expected_test(module: str) -> str:
    return re.sub(r"^mimic_ray/(.*?)([^/]+)$", r"tests/\1test_\2", module)


def all_test_files() -> list[str]:
    """Test files in folders that have the name of a subpackage."""
    packages = [path.name for path in (ROOT / "mimic_ray").iterdir() if path.is_dir()]
    found = (path for package in packages for path in (ROOT / "tests" / package).rglob("test_*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def names_a_module(test_file: str) -> bool:
    """test_crop.py and test_crop_speed.py name crop.py in the folder beside them."""
    folder, _, name = test_file.removeprefix("tests/").rpartition("/")
    words = name.removeprefix("test_").removesuffix(".py").split("_")
    ends = range(1, len(words) + 1)
    return any((ROOT / "mimic_ray" / folder / f"{'_'.join(words[:n])}.py").exists() for n in ends)


def uncovered(paths: list[str], patterns: dict[str, str]) -> list[str]:
    return [path for path in paths if not any(fnmatch(path, each) for each in patterns)]


def unused(paths: list[str], patterns: dict[str, str]) -> list[str]:
    return [each for each in patterns if not any(fnmatch(path, each) for path in paths)]


def test_every_module_has_a_test_file_or_a_reason():
    missing = [path for path in modules() if not (ROOT / expected_test(path)).exists()]
    assert uncovered(missing, listed("untested.toml")) == []
    assert unused(missing, listed("untested.toml")) == [], "these have a test now, or are gone"


def test_every_test_file_names_a_module_or_is_listed():
    others = [path for path in all_test_files() if not names_a_module(path)]
    assert uncovered(others, listed("scenarios.toml")) == []
    assert unused(others, listed("scenarios.toml")) == [], "these name a module now, or are gone"


def test_files_that_a_reason_names_exist():
    reasons = [*listed("untested.toml").values(), *listed("scenarios.toml").values()]
    named = {path for reason in reasons for path in re.findall(r"(?:tests|mimic_ray)/\S+", reason)}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_a_module_without_a_test_and_a_test_without_a_module_would_be_found():
    assert uncovered(["mimic_ray/data/new.py"], {"mimic_ray/base/*.py": ""}) != []
    assert unused(["mimic_ray/data/new.py"], {"mimic_ray/data/old.py": ""}) != []
    assert expected_test("mimic_ray/data/crop.py") == "tests/data/test_crop.py"
    assert names_a_module("tests/data/test_crop.py")
    assert not names_a_module("tests/data/test_new.py")
