"""What KubeRay's operator refuses although its schema accepts it.

The file is applied without a complaint, and then no pod ever comes: the reason stands in an event
of the resource. Source: `ray-operator/controllers/ray/utils/validation.go` of v1.7.0; of its rules
those that need no feature gate and no other resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import Place, Problem
from mimic_ray.cluster_files.lookup import get, items, mapping

# Longer ones would make the names of pods and services too long.
NAME_LENGTHS = {"RayCluster": 53, "RayJob": 47}
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_GATED = {"networkPolicy": "RayClusterNetworkPolicy", "tlsOptions": "RayClusterMTLS"}
_OLDEST_WITH_TOKEN = (2, 52)


def name_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Of the name of a RayCluster or RayJob."""
    kind, name = str(document.get("kind")), get(document, "metadata", "name")
    if kind in NAME_LENGTHS and isinstance(name, str):
        most = NAME_LENGTHS[kind]
        if len(name) > most:
            what = f"The name of a {kind} has at most {most} characters, not {len(name)}."
            yield Problem(("metadata", "name"), what)
        elif not _NAME.fullmatch(name):
            what = f'"{plain(name, 60)}": lower-case letters, digits and dashes, a letter first.'
            yield Problem(("metadata", "name"), what)


def job_problems(job: Mapping[str, Any]) -> Iterator[Problem]:
    """Of the spec of a RayJob."""
    if not job.get("rayClusterSpec") and not job.get("clusterSelector"):
        yield Problem(("spec",), '"rayClusterSpec" is missing, and so is "clusterSelector".')
    if job.get("suspend") is True and job.get("shutdownAfterJobFinishes") is not True:
        what = "A job that may be suspended needs shutdownAfterJobFinishes: true."
        yield Problem(("spec", "suspend"), what)
    if _below_zero(job.get("ttlSecondsAfterFinished")):
        yield Problem(("spec", "ttlSecondsAfterFinished"), "It cannot be below 0.")
    mode, retries = job.get("submissionMode"), job.get("backoffLimit")
    if mode == "InteractiveMode" and isinstance(retries, int) and retries > 0:
        yield Problem(("spec", "backoffLimit"), "InteractiveMode has no retries: make it 0.")
    for name in ("submitterPodTemplate", "submitterConfig"):
        if mode == "SidecarMode" and job.get(name) is not None:
            yield Problem(("spec", name), "SidecarMode has no submitter pod: leave it out.")


def cluster_rule_problems(cluster: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    """Of a cluster's spec."""
    for name, gate in _GATED.items():
        if cluster.get(name) is not None:
            what = f"The operator refuses it unless its feature gate {gate} is on."
            yield Problem((*place, name), what, "warning")
    yield from _token(cluster, place)
    if _below_zero(get(cluster, "autoscalerOptions", "idleTimeoutSeconds")):
        at = (*place, "autoscalerOptions", "idleTimeoutSeconds")
        yield Problem(at, "It cannot be below 0.")
    scaling = cluster.get("enableInTreeAutoscaling") is True
    yield from _group(mapping(cluster, "headGroupSpec"), (*place, "headGroupSpec"), scaling)
    for index, group in enumerate(items(cluster, "workerGroupSpecs")):
        at = (*place, "workerGroupSpecs", index)
        yield from _group(group, at, scaling)
        for name in ("minReplicas", "maxReplicas"):
            if _below_zero(get(group, name)):
                yield Problem((*at, name), "It cannot be below 0.")
        if scaling and get(group, "suspend") is True:
            yield Problem((*at, "suspend"), "A group cannot be suspended with autoscaling.")


def _group(group: Any, place: Place, scaling: bool) -> Iterator[Problem]:
    params = mapping(group, "rayStartParams")
    if get(group, "template", "spec", "containers") == []:
        yield Problem((*place, "template", "spec", "containers"), "There is no container.")
    both = [name for name in ("num-cpus", "num-gpus", "memory", "resources") if params.get(name)]
    if both and mapping(group, "resources"):
        what = f"{both[0]} and `resources` of the group: only one of them may be given."
        yield Problem((*place, "rayStartParams", both[0]), what)
    if "labels" in params:
        at = (*place, "rayStartParams", "labels")
        yield Problem(at, "Labels are given as `labels` of the group.")
    policy = get(group, "template", "spec", "restartPolicy")
    if scaling and isinstance(policy, str) and policy != "Never":
        at = (*place, "template", "spec", "restartPolicy")
        yield Problem(at, "With autoscaling it is Never, or left out.")


def _token(cluster: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    if get(cluster, "authOptions", "mode") != "token":
        return
    version = re.match(r"(\d+)\.(\d+)", str(cluster.get("rayVersion") or ""))
    if version is None:
        what = "Token mode needs spec.rayVersion, 2.52 or later."
        yield Problem((*place, "authOptions"), what)
    elif (int(version[1]), int(version[2])) < _OLDEST_WITH_TOKEN:
        yield Problem((*place, "rayVersion"), "Token mode needs Ray 2.52 or later.")


def _below_zero(number: Any) -> bool:
    return isinstance(number, int) and number < 0
