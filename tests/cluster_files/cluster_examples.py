"""Cluster files of the repository, and how a test spoils one."""

from __future__ import annotations

from pathlib import Path

from mimic_ray.cluster_files.cluster_spec import ClusterSpec
from mimic_ray.cluster_files.findings import Finding
from mimic_ray.cluster_files.validate import validate

FOLDER = Path(__file__).parents[2] / "cluster"

# Each file of cluster/ and what it was rendered from.
FILES = {
    "aws.yaml": ClusterSpec("aws", "a100", 8, spot=True),
    "gcp.yaml": ClusterSpec(
        "gcp", "l4", 8, min_workers=1, gpus_per_node=1, spot=True, project="your-project"
    ),
    "kuberay/raycluster.yaml": ClusterSpec("kuberay", "a100", 8, min_workers=1, gpus_per_node=1),
    "kuberay/rayjob.yaml": ClusterSpec("kuberay", "a100", 8, kind="rayjob"),
}


def spoilt(folder: Path, name: str, *edits: tuple[str, str]) -> Path:
    """A copy of cluster/NAME in which the first occurrence of each old text is the new one."""
    text = (FOLDER / name).read_text()
    for old, new in edits:
        assert old in text, f"{old!r} is not in {name}"
        text = text.replace(old, new, 1)
    copy = folder / Path(name).name
    copy.write_text(text)
    return copy


def findings(path: Path, level: str = "error") -> list[Finding]:
    return [finding for finding in validate(path) if finding.level == level]


def line_of(path: Path, text: str) -> int:
    """The 1-based number of the first line that holds `text`."""
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def owned(folder: Path, name: str, *edits: tuple[str, str]) -> Path:
    """The same with an image and a project of one's own, as `up` demands."""
    file = spoilt(folder, name, *edits)
    text = file.read_text().replace("registry.example.com", "ghcr.io/me")
    file.write_text(text.replace("your-project", "my-project"))
    return file
