"""The cluster files of the repository, and how a test edits one."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.cluster_files.cluster_spec import ClusterSpec
from mimic_ray.cluster_files.findings import Finding
from mimic_ray.cluster_files.validate import validate

FOLDER = Path(__file__).parents[2] / "cluster"
AWS, GCP, CLUSTER, JOB = "aws.yaml", "gcp.yaml", "kuberay/raycluster.yaml", "kuberay/rayjob.yaml"

# Each file of cluster/ and the settings that it was rendered from.
FILES = {
    AWS: ClusterSpec("aws", "a100", 8, spot=True),
    GCP: ClusterSpec(
        "gcp", "l4", 8, min_workers=1, gpus_per_node=1, spot=True, project="your-project"
    ),
    CLUSTER: ClusterSpec("kuberay", "a100", 8, min_workers=1, gpus_per_node=1),
    JOB: ClusterSpec("kuberay", "a100", 8, kind="rayjob"),
}


def edited(folder: Path, name: str, *edits: tuple[str, str]) -> Path:
    """A copy of cluster/NAME in which the first occurrence of each old text is replaced."""
    text = (FOLDER / name).read_text()
    for old, new in edits:
        assert old in text, f"{old!r} is not in {name}"
        text = text.replace(old, new, 1)
    copy = folder / Path(name).name
    copy.write_text(text)
    return copy


def without_placeholders(folder: Path, name: str, *edits: tuple[str, str]) -> Path:
    """The same with another image and project instead of placeholders, which `up` accepts."""
    file = edited(folder, name, *edits)
    text = file.read_text().replace("registry.example.com", "ghcr.io/me")
    file.write_text(text.replace("your-project", "my-project"))
    return file


def findings(path: Path, level: str = "error") -> list[Finding]:
    return [finding for finding in validate(path) if finding.level == level]


def check_one_error(folder: Path, name: str, old: str, new: str, path: str, words: str) -> None:
    """Replacing `old` by `new` gives exactly one error, at `path` and on the line of the edit."""
    file = edited(folder, name, (old, new))
    (found,) = findings(file)
    assert path in found.path
    assert words in found.message
    if new.strip():
        assert found.line == line_of(file, new.strip().splitlines()[-1])


def line_of(path: Path, text: str) -> int:
    """The 1-based number of the first line that contains `text`."""
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
