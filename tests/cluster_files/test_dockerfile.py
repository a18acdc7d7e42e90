"""cluster/Dockerfile: the image has no secret, and the builder sees only the listed files."""

from __future__ import annotations

import fnmatch
import re

import pytest

from tests.cluster_files.cluster_examples import FOLDER

DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def test_the_image_copies_only_listed_files_and_does_not_run_as_root():
    lines = DOCKERFILE.splitlines()
    assert not any(line.startswith("ADD ") for line in lines)
    copied = [
        word
        for line in lines
        if line.startswith("COPY ") and "--from=" not in line
        for word in line.split()[1:-1]
        if not word.startswith("--")
    ]
    package = [
        "LICENSE",
        "NOTICE",
        "README.md",
        "configs",
        "constraints.txt",
        "mimic_ray",
        "pyproject.toml",
    ]
    assert sorted(copied) == package
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "1000"
    assert not re.search(r"(?i)^(ARG|ENV)\s.*(token|secret|password|key)", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("mimic_ray/cli/app.py", True),
        ("configs/default.toml", True),
        ("constraints.txt", True),
        (".env", False),
        (".git/config", False),
        ("data/images/1.jpg", False),
        ("cluster/aws.yaml", False),
        ("mimic_ray/.env", False),
        ("mimic_ray/__pycache__/x.pyc", False),
    ],
)
def test_the_ignore_file_sends_only_listed_files_to_the_builder(path, sent):
    assert _is_sent(path) == sent


def _is_sent(path: str) -> bool:
    """Docker's rule: the last line that matches the path or a parent folder decides."""
    parts = path.split("/")
    parents = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    ignored = False
    for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        names = parts if pattern.startswith("**/") else parents
        if any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) for name in names):
            ignored = not line.startswith("!")
    return not ignored
