"""Files that describe the project agree with each other and with the package."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from mimic_ray import __version__
from mimic_ray.cluster_files import versions

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def prerequisites(target: str) -> list[str]:
    found = re.search(rf"^{target}:([^#\n]*)", MAKEFILE, re.MULTILINE)
    assert found, f"the Makefile has no target {target}"
    return found[1].split()


def texts_with_an_image() -> list[Path]:
    listed = subprocess.run(
        ["git", "grep", "-lE", r"mimic-ray:[0-9]", "--", "README.md", "docs", "cluster"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines()]


def test_the_version_is_defined_in_the_package_alone():
    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "mimic_ray/base/package.py"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_every_image_name_in_texts_has_the_current_versions():
    files = texts_with_an_image()
    assert len(files) > 4
    for file in files:
        tags = set(re.findall(r"mimic-ray:([0-9][\w.-]*)", file.read_text()))
        assert tags == {f"{__version__}-ray{versions.RAY}"}, file


def test_the_license_is_apache_and_every_license_file_exists():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "Copyright 2026 The mimic-ray authors" in text
    assert PYPROJECT["project"]["license"] == "Apache-2.0"
    for pattern in PYPROJECT["project"]["license-files"]:
        assert list(ROOT.glob(pattern)), pattern


def test_the_notice_names_every_bundled_license():
    notice = (ROOT / "NOTICE").read_text()
    bundled = [*ROOT.glob("mimic_ray/**/*LICENSE*")]
    assert len(bundled) >= 2
    for path in bundled:
        assert path.relative_to(ROOT).as_posix() in notice


def test_every_archive_of_the_demo_is_in_the_notice():
    notice = (ROOT / "NOTICE").read_text()
    data = [path.name for path in (ROOT / "mimic_ray/demo_data").iterdir()]
    for name in data:
        if name.endswith((".tar.gz", ".th")):
            assert name in notice


def test_the_pre_commit_hooks_are_the_steps_of_make_check():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == [f"make {s}" for s in prerequisites("check")]
    assert all(hook["language"] == "system" for hook in hooks)


def test_ci_runs_make_check_and_make_test():
    script = (ROOT / ".ci/run").read_text()
    assert "make check" in script
    assert "make test" in script
    assert "docs" in prerequisites("check")


def test_the_workflow_covers_every_python_version_of_the_classifiers():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    classifiers = PYPROJECT["project"]["classifiers"]
    assert tested == [f"3.{c.removeprefix(prefix)}" for c in classifiers if c.startswith(prefix)]
    assert PYPROJECT["project"]["requires-python"] == f">={tested[0]}"


@pytest.mark.parametrize("section", ["dependencies", "docs"])
def test_every_pinned_requirement_is_in_the_constraints(section):
    project = PYPROJECT["project"]
    listed = project.get(section) or project["optional-dependencies"][section]
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    for requirement in listed:
        found = re.match(r"[\w.-]+", requirement)
        assert found
        assert found[0].lower().replace("_", "-") in pinned


def test_indentation_of_the_editor_is_that_of_the_formatter():
    config = (ROOT / ".editorconfig").read_text()
    python = config.partition("[*.py]")[2]
    assert f"max_line_length = {PYPROJECT['tool']['ruff']['line-length']}" in python


def test_the_issue_form_asks_for_run_json_and_the_version():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug_report.yml").read_text())
    fields = {field.get("id"): field for field in form["body"]}
    assert "run.json" in fields["run_json"]["attributes"]["label"]
    assert "mimic-ray --version" in fields["version"]["attributes"]["description"]
