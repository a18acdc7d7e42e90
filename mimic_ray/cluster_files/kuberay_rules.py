"""Rules of KubeRay's operator that its schema does not express.

Kubernetes accepts a file that violates them, but no pod starts, and the reason is only in an event
of the resource. Source: `ray-operator/controllers/ray/utils/validation.go` of v1.7.0, without the
rules that need a feature gate or another resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import Problem, YamlPath
from mimic_ray.cluster_files.lookup import get, items, mapping

# Longer names would make the names of pods and services too long.
NAME_LENGTHS = {"RayCluster": 53, "RayJob": 47}
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_GATES = {"networkPolicy": "RayClusterNetworkPolicy", "tlsOptions": "RayClusterMTLS"}
_FIRST_RAY_WITH_TOKEN = (2, 52)


def name_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of the name of a RayCluster or RayJob."""
    name, path = get(document, "metadata", "name"), ("metadata", "name")
    longest = NAME_LENGTHS.get(str(document.get("kind")))
    if longest is None or not isinstance(name, str):
        return
    if len(name) > longest:
        yield Problem(path, f"The name has {len(name)} characters; {longest} are allowed.")
    elif not _NAME.fullmatch(name):
        message = "must be lower-case letters, digits and dashes and start with a letter."
        yield Problem(path, f'"{plain(name, 60)}" {message}')


def job_problems(job: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of the spec of a RayJob."""
    if not job.get("rayClusterSpec") and not job.get("clusterSelector"):
        yield Problem(("spec",), '"rayClusterSpec" or "clusterSelector" is missing.')
    if job.get("suspend") is True and job.get("shutdownAfterJobFinishes") is not True:
        message = "A job that can be suspended needs shutdownAfterJobFinishes: true."
        yield Problem(("spec", "suspend"), message)
    yield from _negative_problems(job, ("spec",), "ttlSecondsAfterFinished")
    mode, retries = job.get("submissionMode"), job.get("backoffLimit")
    if mode == "InteractiveMode" and isinstance(retries, int) and retries > 0:
        yield Problem(("spec", "backoffLimit"), "InteractiveMode cannot retry: set it to 0.")
    for name in ("submitterPodTemplate", "submitterConfig"):
        if mode == "SidecarMode" and job.get(name) is not None:
            yield Problem(("spec", name), "SidecarMode has no submitter pod: remove this key.")


def cluster_rule_problems(cluster: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    """Problems of a cluster spec at `path`."""
    for name, gate in _GATES.items():
        if cluster.get(name) is not None:
            message = f"The operator refuses this unless its feature gate {gate} is on."
            yield Problem((*path, name), message, "warning")
    yield from _token_problems(cluster, path)
    options_path = (*path, "autoscalerOptions")
    options = mapping(cluster, "autoscalerOptions")
    yield from _negative_problems(options, options_path, "idleTimeoutSeconds")
    scaling = cluster.get("enableInTreeAutoscaling") is True
    head = mapping(cluster, "headGroupSpec")
    yield from _group_problems(head, (*path, "headGroupSpec"), scaling)
    for index, group in enumerate(items(cluster, "workerGroupSpecs")):
        yield from _group_problems(group, (*path, "workerGroupSpecs", index), scaling)


def _group_problems(group: Any, path: YamlPath, scaling: bool) -> Iterator[Problem]:
    params = mapping(group, "rayStartParams")
    if get(group, "template", "spec", "containers") == []:
        yield Problem((*path, "template", "spec", "containers"), "There is no container.")
    both = [name for name in ("num-cpus", "num-gpus", "memory", "resources") if params.get(name)]
    if both and mapping(group, "resources"):
        message = f"Set either {both[0]} or `resources` of the group, not both."
        yield Problem((*path, "rayStartParams", both[0]), message)
    if "labels" in params:
        message = "Set `labels` of the group instead."
        yield Problem((*path, "rayStartParams", "labels"), message)
    policy = get(group, "template", "spec", "restartPolicy")
    if scaling and isinstance(policy, str) and policy != "Never":
        message = "Autoscaling needs restartPolicy: Never, or none."
        yield Problem((*path, "template", "spec", "restartPolicy"), message)
    if scaling and get(group, "suspend") is True:
        yield Problem((*path, "suspend"), "A group cannot be suspended with autoscaling.")
    yield from _negative_problems(group, path, "minReplicas", "maxReplicas")


def _token_problems(cluster: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    if get(cluster, "authOptions", "mode") != "token":
        return
    version = re.match(r"(\d+)\.(\d+)", str(cluster.get("rayVersion") or ""))
    if version is None:
        message = "Token mode needs spec.rayVersion, at least 2.52."
        yield Problem((*path, "authOptions"), message)
    elif (int(version[1]), int(version[2])) < _FIRST_RAY_WITH_TOKEN:
        yield Problem((*path, "rayVersion"), "Token mode needs Ray 2.52 or later.")


def _negative_problems(node: Any, path: YamlPath, *names: str) -> Iterator[Problem]:
    for name in names:
        number = get(node, name)
        if isinstance(number, int) and number < 0:
            yield Problem((*path, name), "It must not be negative.")
