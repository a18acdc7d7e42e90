"""Everything that is wrong with a cluster file, without a cloud, a cluster or a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import UsageError
from mimic_ray.base.registry import near_names
from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import Finding, Problem, dotted
from mimic_ray.cluster_files.yaml_reader import Document, read_documents

_ORDER = {"error": 0, "warning": 1, "note": 2}


def validate(path: Path) -> list[Finding]:
    """Findings of one file, errors first. Raises UsageError if it is no YAML or no cluster file."""
    documents = read_documents(path)
    kubernetes = kind_of(path, documents[0].data) == "kubernetes"
    found = []
    for at, document in enumerate(documents):
        problems = list(_keys(document))
        if not any(part.bare for part in documents):
            problems += _kubernetes(documents, at) if kubernetes else _ray_up(document)
        for problem in problems:
            line = document.line(problem.place)
            place = dotted(problem.place)
            found.append(Finding(problem.level, plain(path), line, place, problem.sentence))
    return sorted(dict.fromkeys(found), key=lambda finding: (_ORDER[finding.level], finding.line))


def kind_of(path: Path, first: Any) -> str:
    """`ray_up` or `kubernetes`, from the first document. Raises UsageError for another file."""
    if not isinstance(first, Mapping):
        raise UsageError(f"{plain(path)} is no cluster file: it holds {type(first).__name__}.")
    keys = [str(key) for key in first]
    if {"apiVersion", "kind"} & set(keys):
        return "kubernetes"
    if {"cluster_name", "provider", "available_node_types", "head_node_type"} & set(keys):
        return "ray_up"
    for word in ("cluster_name", "provider", "apiVersion", "kind"):
        if near_names(word, keys):
            return "kubernetes" if word in ("apiVersion", "kind") else "ray_up"
    raise UsageError(
        f"{plain(path)} is no cluster file: it has neither cluster_name and provider (ray up) nor "
        "apiVersion and kind (Kubernetes)."
    )


def _ray_up(document: Document) -> Iterator[Problem]:
    from mimic_ray.cluster_files.policy import ray_up_advice
    from mimic_ray.cluster_files.ray_up_checks import ray_up_problems

    yield from ray_up_problems(document.data)
    yield from ray_up_advice(document.data)


def _kubernetes(documents: list[Document], at: int) -> Iterator[Problem]:
    from mimic_ray.cluster_files.kuberay_checks import kubernetes_problems
    from mimic_ray.cluster_files.policy import kubernetes_advice

    every = [part.data for part in documents if isinstance(part.data, Mapping)]
    document = documents[at].data
    if not isinstance(document, Mapping):
        yield Problem((), "A document of Kubernetes is a mapping with apiVersion and kind.")
        return
    yield from kubernetes_problems(document)
    yield from kubernetes_advice(every, next(i for i, d in enumerate(every) if d is document))


def _keys(document: Document) -> Iterator[Problem]:
    for place in document.bare:
        yield Problem(place, "This key is read as no text: put it in quotes.")
    for place in document.twice:
        yield Problem(place, "This key is given twice; only the last one would count.")
