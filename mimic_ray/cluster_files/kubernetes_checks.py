"""Checks Kubernetes documents against their schema, and rules that KubeRay's schema does not have.

These rules are: minReplicas is at most maxReplicas, a mount names a volume of its pod, a request
for GPUs equals its limit, `rayStartParams` are options of `ray start`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import Problem, YamlPath, nearest, unknown_name
from mimic_ray.cluster_files.kuberay_rules import (
    cluster_rule_problems,
    job_problems,
    name_problems,
)
from mimic_ray.cluster_files.kubernetes_schemas import (
    RAY_API,
    core_installed,
    known_kinds,
    schema_of,
)
from mimic_ray.cluster_files.lookup import get, items, mapping
from mimic_ray.cluster_files.ray_start_checks import start_param_problems
from mimic_ray.cluster_files.schema_checks import schema_problems

_INSTALL = "install its schemas with: pip install 'mimic-ray[cluster-check]'"


def kubernetes_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """All problems of one document."""
    for name in ("apiVersion", "kind"):
        if not isinstance(document.get(name), str):
            yield Problem((), f'"{name}" is missing.')
            return
    version, kind = document["apiVersion"], document["kind"]
    if kind not in known_kinds().get(version, {}):
        yield _unknown_kind(version, kind)
        return
    schema = schema_of(version, kind)
    if schema is None:
        yield Problem(("kind",), f"{kind} is not checked.", "note")
        return
    yield from schema_problems(schema, document)
    names = mapping(document, "metadata")
    if not {"name", "generateName"} & set(names) and not nearest("name", map(str, names)):
        yield Problem(("metadata",), '"name" is missing.')
    if version == RAY_API:
        yield from name_problems(document)
        if kind == "RayJob":
            yield from job_problems(mapping(document, "spec"))
        for path, cluster in ray_clusters(document):
            yield from _cluster_problems(cluster, path)


def _unknown_kind(version: str, kind: str) -> Problem:
    """An error if the name is probably misspelt, else a note: it may be a custom resource."""
    known = known_kinds()
    if version in known:
        return unknown_name(("kind",), f"kind in {version}", kind, known[version])
    versions = nearest(version, [each for each, kinds in known.items() if kind in kinds])
    if versions:
        return unknown_name(("apiVersion",), f"apiVersion of {kind}", version, versions)
    reason = "" if core_installed() else f": {_INSTALL}"
    return Problem(("kind",), f"{plain(kind, 60)} is not checked{reason}.", "note")


def ray_clusters(document: Mapping[str, Any]) -> Iterator[tuple[YamlPath, Mapping[str, Any]]]:
    """The cluster spec of a RayCluster or RayJob, if it has one, with its path."""
    path: YamlPath = (
        ("spec",) if document.get("kind") == "RayCluster" else ("spec", "rayClusterSpec")
    )
    cluster = get(document, *map(str, path))
    if document.get("kind") in ("RayCluster", "RayJob") and isinstance(cluster, Mapping):
        yield path, cluster


def groups(
    cluster: Mapping[str, Any], path: YamlPath
) -> Iterator[tuple[YamlPath, Mapping[str, Any]]]:
    """The head group and the worker groups of a cluster spec at `path`, with their paths."""
    yield (*path, "headGroupSpec"), mapping(cluster, "headGroupSpec")
    for index, group in enumerate(items(cluster, "workerGroupSpecs")):
        if isinstance(group, Mapping):
            yield (*path, "workerGroupSpecs", index), group


def pods(
    cluster: Mapping[str, Any], path: YamlPath
) -> Iterator[tuple[YamlPath, Mapping[str, Any]]]:
    """The pod templates of all groups, with their paths."""
    for group_path, group in groups(cluster, path):
        if isinstance(group.get("template"), Mapping):
            yield (*group_path, "template"), group["template"]


def _cluster_problems(cluster: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    names: list[Any] = []
    for group_path, group in groups(cluster, path):
        yield from _replica_problems(group, group_path)
        yield from start_param_problems(group, group_path)
        name = group.get("groupName")
        if name is not None and name in names:
            message = f'Another group is also named "{plain(name, 60)}".'
            yield Problem((*group_path, "groupName"), message)
        names.append(name)
    yield from cluster_rule_problems(cluster, path)
    for pod_path, template in pods(cluster, path):
        yield from _pod_problems(template, pod_path)


def _replica_problems(group: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    least, most = group.get("minReplicas", 0), group.get("maxReplicas")
    replicas = group.get("replicas", least)
    if not all(isinstance(number, int) for number in (least, replicas, most)):
        return
    if least > most:
        message = f"minReplicas {least} is more than maxReplicas {most}."
        yield Problem((*path, "minReplicas"), message)
    elif not least <= replicas <= most:
        message = f"replicas {replicas} is not between minReplicas {least} and maxReplicas {most}."
        yield Problem((*path, "replicas"), message)


def _pod_problems(template: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    volumes = [str(get(volume, "name")) for volume in items(template, "spec", "volumes")]
    for key in ("initContainers", "containers"):
        for index, container in enumerate(items(template, "spec", key)):
            container_path = (*path, "spec", key, index)
            for number, mount in enumerate(items(container, "volumeMounts")):
                name = get(mount, "name")
                if isinstance(name, str) and name not in volumes:
                    at = (*container_path, "volumeMounts", number, "name")
                    yield unknown_name(at, "volume", name, volumes)
            yield from _gpu_problems(container, container_path)


def _gpu_problems(container: Any, path: YamlPath) -> Iterator[Problem]:
    """Kubernetes refuses a pod whose request for GPUs differs from its limit."""
    request = get(container, "resources", "requests", "nvidia.com/gpu")
    limit = get(container, "resources", "limits", "nvidia.com/gpu")
    if request is not None and str(request) != str(limit):
        at = (*path, "resources", "requests", "nvidia.com/gpu")
        yield Problem(at, f"A request of {plain(request, 20)} GPUs needs the same limit.")
