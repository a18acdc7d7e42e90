"""The files in cluster/: what `render` writes, without an error, pinned as they say."""

from __future__ import annotations

import fnmatch
import re

import pytest
import yaml

from mimic_ray import __version__
from mimic_ray.cluster_files import versions
from mimic_ray.cluster_files.render import render
from mimic_ray.cluster_files.validate import validate
from tests.cluster_files.cluster_examples import FILES, FOLDER

ROOT = FOLDER.parent
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def test_every_file_of_the_folder_is_one_of_ours():
    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert there == {*FILES, "Dockerfile", "Dockerfile.dockerignore"}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_byte_for_byte_what_its_first_line_renders(name):
    assert (FOLDER / name).read_text() == render(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_no_findings_but_the_placeholders(name):
    found = validate(FOLDER / name)
    assert found  # the image's registry at least
    for finding in found:
        assert finding.level == "note"
        assert "is a placeholder" in finding.what


def test_versions_are_those_of_the_constraints():
    pins = dict(
        line.split("==", 1)
        for line in (ROOT / "constraints.txt").read_text().split()
        if "==" in line
    )
    assert pins["ray"] == versions.RAY
    assert versions.PLACEHOLDER_IMAGE.endswith(f"/mimic-ray:{__version__}-ray{versions.RAY}")


def test_the_image_is_built_on_the_pinned_ray_and_python():
    tag = f"rayproject/ray:{versions.RAY}-py{versions.PYTHON.replace('.', '')}-cpu"
    assert [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")] == [
        tag,
        tag,
    ]
    assert f"ray.__version__ == '{versions.RAY}'" in DOCKERFILE
    assert f"(3, {versions.PYTHON.partition('.')[2]})" in DOCKERFILE


def test_the_image_copies_only_what_its_list_names_and_ends_as_no_root():
    copied = []
    for line in DOCKERFILE.splitlines():
        assert not line.startswith("ADD ")
        if line.startswith("COPY ") and "--from=" not in line:
            copied += [word for word in line.split()[1:-1] if not word.startswith("--")]
    assert sorted(copied) == [
        "README.md",
        "configs",
        "constraints.txt",
        "mimic_ray",
        "pyproject.toml",
    ]
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "1000"
    assert not re.search(r"(?i)^(ARG|ENV)\s.*(token|secret|password|key)", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "travels"),
    [
        ("mimic_ray/cli/app.py", True),
        ("configs/default.toml", True),
        ("pyproject.toml", True),
        ("constraints.txt", True),
        (".env", False),
        (".git/config", False),
        ("id_rsa", False),
        ("data/images/1.jpg", False),
        ("runs/student.safetensors", False),
        ("cluster/aws.yaml", False),
        ("mimic_ray/.env", False),
        ("mimic_ray/__pycache__/x.pyc", False),
    ],
)
def test_the_builder_sees_only_what_the_ignore_file_lets_through(path, travels):
    assert _travels(path) == travels


def _travels(path: str) -> bool:
    """Docker's rule: the last line that matches the path or a folder above it decides."""
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    ignored = False
    for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        names = parts if pattern.startswith("**/") else above
        if any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) for name in names):
            ignored = not line.startswith("!")
    return not ignored


@pytest.mark.parametrize("name", FILES)
def test_no_file_holds_a_token(name):
    document = (FOLDER / name).read_text()
    assert "RAY_AUTH_TOKEN" not in document
    for part in yaml.safe_load_all(document):
        assert part.get("kind") != "Secret"
