"""cluster/Dockerfile: only listed files reach the builder, and the image does not run as root."""

import re

from tests.cluster_files.cluster_examples import FOLDER

DOCKERFILE = (FOLDER / "Dockerfile").read_text()
PACKAGE = {
    *("LICENSE", "NOTICE", "README.md", "constraints.txt", "mimic_ray"),
    "pyproject.toml",
}


def test_the_image_copies_only_the_package_and_runs_without_root_or_secrets():
    copies = re.findall(r"^COPY (?!--from)--chown=\S+ (.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert {source for sources in copies for source in sources.split()} == PACKAGE
    assert len(re.findall(r"^(?:COPY (?!--from)|ADD )", DOCKERFILE, re.MULTILINE)) == len(copies)
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "1000"
    assert not re.search(r"(?im)^(ARG|ENV)\s.*(token|secret|password|key)", DOCKERFILE)


def test_the_ignore_file_excludes_everything_else_and_hidden_files():
    """In Docker, the last line that matches a path decides."""
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    last = max(index for index, rule in enumerate(rules) if rule.startswith("!"))
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules[1 : last + 1]} == PACKAGE
    assert {"**/.*", "**/__pycache__", "**/*.pyc"} <= set(rules[last + 1 :])
