"""Checks a cluster file without a cloud, a cluster or a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import UsageError
from mimic_ray.base.text import near_names, plain
from mimic_ray.cluster_files.findings import Finding, Problem, dotted
from mimic_ray.cluster_files.yaml_reader import Document, YamlSyntaxError, read_documents

_ORDER = {"error": 0, "warning": 1, "note": 2}


def validate(path: Path) -> list[Finding]:
    """The findings of one file, errors first.

    Raises UsageError for a file that cannot be read or is not a cluster file.
    """
    try:
        documents = read_documents(path)
    except YamlSyntaxError as error:
        return [Finding("error", plain(path), error.line, "", error.reason)]
    kubernetes = kind_of(path, documents[0].data) == "kubernetes"
    readable = not any(document.non_text_keys for document in documents)
    findings = []
    for index, document in enumerate(documents):
        problems = list(_key_problems(document))
        if readable:
            problems += _kubernetes(documents, index) if kubernetes else _ray_up(document)
        for problem in problems:
            line = document.line(problem.path)
            findings.append(
                Finding(problem.level, plain(path), line, dotted(problem.path), problem.sentence)
            )
    unique = dict.fromkeys(findings)
    return sorted(unique, key=lambda finding: (_ORDER[finding.level], finding.line))


def kind_of(path: Path, first: Any) -> str:
    """`ray_up` or `kubernetes`, from the first document. Raises UsageError for another file."""
    if not isinstance(first, Mapping):
        raise UsageError(f"{plain(path)} is not a cluster file: it is not a mapping.")
    keys = [str(key) for key in first]
    if {"apiVersion", "kind"} & set(keys):
        return "kubernetes"
    if {"cluster_name", "provider", "available_node_types", "head_node_type"} & set(keys):
        return "ray_up"
    for word in ("cluster_name", "provider", "apiVersion", "kind"):
        if near_names(word, keys):
            return "kubernetes" if word in ("apiVersion", "kind") else "ray_up"
    raise UsageError(
        f"{plain(path)} is not a cluster file: it has neither cluster_name and provider (ray up) "
        "nor apiVersion and kind (Kubernetes)."
    )


def _ray_up(document: Document) -> Iterator[Problem]:
    from mimic_ray.cluster_files.ray_up_checks import ray_up_problems
    from mimic_ray.cluster_files.security_advice import ray_up_advice

    if not isinstance(document.data, Mapping):
        yield Problem((), "A cluster file for ray up must be a mapping.", "error")
        return
    yield from ray_up_problems(document.data)
    yield from ray_up_advice(document.data)


def _kubernetes(documents: list[Document], index: int) -> Iterator[Problem]:
    from mimic_ray.cluster_files.kubernetes_checks import kubernetes_problems
    from mimic_ray.cluster_files.security_advice import kubernetes_advice

    document = documents[index].data
    if not isinstance(document, Mapping):
        yield Problem((), "A Kubernetes document must be a mapping with apiVersion and kind.")
        return
    yield from kubernetes_problems(document)
    mappings = [part.data for part in documents if isinstance(part.data, Mapping)]
    yield from kubernetes_advice(document, mappings)


def _key_problems(document: Document) -> Iterator[Problem]:
    for path in document.non_text_keys:
        yield Problem(path, "YAML does not read this key as text: put it in quotes.")
    for path in document.repeated_keys:
        yield Problem(path, "This key occurs twice; YAML would only use the last one.")
