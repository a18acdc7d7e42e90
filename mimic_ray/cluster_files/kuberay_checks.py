"""Kubernetes documents: KubeRay's kinds by its own schemas, those beside them by short ones.

The schemas of KubeRay do not say that the least of replicas is not more than the most, nor which
apiVersion a kind has, nor that a mount needs its volume; that is checked here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files import strict
from mimic_ray.cluster_files.findings import Place, Problem, nearest, unknown
from mimic_ray.cluster_files.kuberay_rules import (
    cluster_rule_problems,
    job_problems,
    name_problems,
)
from mimic_ray.cluster_files.lookup import get, items, mapping
from mimic_ray.cluster_files.ray_start import start_param_problems

VERSIONS = {
    "RayCluster": "ray.io/v1",
    "RayJob": "ray.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Secret": "v1",
    "ConfigMap": "v1",
    "PersistentVolumeClaim": "v1",
    "ServiceAccount": "v1",
    "Namespace": "v1",
}
# Known by name, left to Kubernetes.
_OTHERS = ("RayService", "RayCronJob", "Service", "Pod", "Ingress", "Role", "RoleBinding")


def kubernetes_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything wrong in one document."""
    kind = document.get("kind")
    if not isinstance(kind, str):
        yield Problem(("kind",), '"kind" is missing.')
        return
    if kind not in VERSIONS:
        yield _unknown_kind(kind, document.get("apiVersion"))
        return
    version = document.get("apiVersion")
    if version is None:
        yield Problem((), f'"apiVersion" is missing: {VERSIONS[kind]}.')
    elif version != VERSIONS[kind]:
        what = f"{_said(version)} is not the apiVersion of {kind}: {VERSIONS[kind]}."
        yield Problem(("apiVersion",), what)
    yield from strict.problems(_schema(kind), document)
    names = mapping(document, "metadata")
    if not {"name", "generateName"} & set(names) and not nearest("name", names):
        yield Problem(("metadata",), '"name" is missing.')
    yield from name_problems(document)
    if kind == "RayJob":
        yield from job_problems(mapping(document, "spec"))
    for place, cluster in ray_clusters(document):
        yield from _cluster_problems(cluster, place)


def _unknown_kind(kind: str, version: Any) -> Problem:
    """A slip of the pen where the apiVersion is that of a kind we know, else Kubernetes' affair."""
    near = nearest(kind, VERSIONS)
    ours = str(version).startswith("ray.io/") or (near and VERSIONS[near[0]] == version)
    if ours and kind not in _OTHERS:
        return Problem(("kind",), f"{_said(kind)} is no kind of {plain(version)}.", "error", near)
    return Problem(("kind",), f"{plain(kind)} is not checked here.", "note")


def ray_clusters(document: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """The cluster spec of a RayCluster or RayJob, if it has one, with its place."""
    spec = document.get("spec")
    place: Place = ("spec",)
    if document.get("kind") == "RayJob" and isinstance(spec, Mapping):
        spec, place = spec.get("rayClusterSpec"), ("spec", "rayClusterSpec")
    if document.get("kind") in ("RayCluster", "RayJob") and isinstance(spec, Mapping):
        yield place, spec


def pods(cluster: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """The pod templates of head and worker groups, with their places."""
    every: list[tuple[Place, Any]] = [
        ((*place, "headGroupSpec", "template"), get(cluster, "headGroupSpec", "template"))
    ]
    for index, group in enumerate(items(cluster, "workerGroupSpecs")):
        every.append(((*place, "workerGroupSpecs", index, "template"), get(group, "template")))
    for at, template in every:
        if isinstance(template, Mapping):
            yield at, template


def _cluster_problems(cluster: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    head = get(cluster, "headGroupSpec")
    yield from start_param_problems(head, (*place, "headGroupSpec"))
    names: list[Any] = []
    for index, group in enumerate(items(cluster, "workerGroupSpecs")):
        if isinstance(group, Mapping):
            at = (*place, "workerGroupSpecs", index)
            yield from _replicas(group, at)
            yield from start_param_problems(group, at)
            if group.get("groupName") in names:
                what = f"{_said(group.get('groupName'))} is the name of another group."
                yield Problem((*at, "groupName"), what)
            names.append(group.get("groupName"))
    yield from cluster_rule_problems(cluster, place)
    for at, template in pods(cluster, place):
        yield from _pod_problems(template, at)


def _replicas(group: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    least, most = group.get("minReplicas", 0), group.get("maxReplicas")
    wanted = group.get("replicas", least)
    if not all(isinstance(number, int) for number in (least, wanted, most)):
        return
    if least > most:
        what = f"minReplicas {least} is more than maxReplicas {most}."
        yield Problem((*place, "minReplicas"), what)
    elif not least <= wanted <= most:
        what = f"replicas {wanted} is not between minReplicas {least} and maxReplicas {most}."
        yield Problem((*place, "replicas"), what)


def _pod_problems(template: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    spec = template.get("spec")
    if not isinstance(spec, Mapping):
        return
    volumes = [get(volume, "name") for volume in items(spec, "volumes")]
    for list_name in ("initContainers", "containers"):
        for index, container in enumerate(items(spec, list_name)):
            at = (*place, "spec", list_name, index)
            for mount, item in enumerate(items(container, "volumeMounts")):
                name = get(item, "name")
                if isinstance(name, str) and name not in volumes:
                    known = [volume for volume in volumes if isinstance(volume, str)]
                    yield unknown((*at, "volumeMounts", mount, "name"), "volume", name, known)
            yield from _amounts(container, at)


def _amounts(container: Any, place: Place) -> Iterator[Problem]:
    """GPUs cannot be overcommitted: Kubernetes refuses a request that is not the limit."""
    requests = get(container, "resources", "requests", "nvidia.com/gpu")
    limits = get(container, "resources", "limits", "nvidia.com/gpu")
    if requests is not None and str(requests) != str(limits):
        at = (*place, "resources", "requests", "nvidia.com/gpu")
        yield Problem(at, f"A request of {requests} GPUs needs a limit of {requests}.")


def _schema(kind: str) -> Mapping[str, Any]:
    if kind in ("RayCluster", "RayJob"):
        return strict.packaged(kind.lower())
    return _beside(kind)


def _beside(kind: str) -> dict[str, Any]:
    """A strict schema of the fields of a built-in kind. A policy's rules are also KubeRay's."""
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    every: dict[str, dict[str, Any]] = {
        "Secret": {"type": {"type": "string"}, "data": texts, "stringData": texts},
        "ConfigMap": {"data": texts, "binaryData": texts},
        "ServiceAccount": {"automountServiceAccountToken": {"type": "boolean"}},
        "Namespace": {"spec": {"type": "object"}},
        "PersistentVolumeClaim": {"spec": _CLAIM},
        "NetworkPolicy": {"spec": _policy()} if kind == "NetworkPolicy" else {},
    }
    common: dict[str, Any] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": strict.METADATA,
        "immutable": {"type": "boolean"},
    }
    if kind not in ("Secret", "ConfigMap"):
        del common["immutable"]
    required = ["spec"] if kind in ("PersistentVolumeClaim", "NetworkPolicy") else []
    return {
        "type": "object",
        "properties": common | every[kind],
        "required": required,
        "additionalProperties": False,
    }


_CLAIM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "accessModes": {
            "type": "array",
            "items": {
                "enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]
            },
        },
        "resources": {"type": "object"},
        "storageClassName": {"type": "string"},
        "volumeMode": {"enum": ["Filesystem", "Block"]},
        "volumeName": {"type": "string"},
        "selector": {"type": "object"},
        "dataSource": {"type": "object"},
    },
    "required": ["accessModes", "resources"],
    "additionalProperties": False,
}


def _policy() -> dict[str, Any]:
    cluster = strict.packaged("raycluster")["properties"]["spec"]["properties"]
    rules = cluster["networkPolicy"]["properties"]["head"]["properties"]
    peer = rules["ingressRules"]["items"]["properties"]["from"]["items"]
    return {
        "type": "object",
        "properties": {
            "podSelector": peer["properties"]["podSelector"],
            "policyTypes": {"type": "array", "items": {"enum": ["Ingress", "Egress"]}},
            "ingress": rules["ingressRules"],
            "egress": rules["egressRules"],
        },
        "required": ["podSelector"],
        "additionalProperties": False,
    }


def _said(value: Any) -> str:
    return f'"{plain(value, 60)}"'
