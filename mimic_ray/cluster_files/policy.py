"""What Ray and Kubernetes accept and we advise against: open doors and things that drift.

Whoever reaches Ray's ports can run code (CVE-2023-48022), so a file should keep them closed and set
the token; an unpinned image is another program every time it is pulled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files import versions
from mimic_ray.cluster_files.findings import Place, Problem
from mimic_ray.cluster_files.kuberay_checks import pods, ray_clusters
from mimic_ray.cluster_files.lookup import get, items, mapping

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HOST = re.compile(r"--dashboard-host[= ]+(\S+)")
_MODE = re.compile(r"\bRAY_AUTH_MODE=[\"']?token\b")
_TOKEN = re.compile(r"\bRAY_AUTH_TOKEN=(?![\"']?\$)\S")
_RAY_IN_TAG = re.compile(r"(?:/ray:|-ray)(\d+\.\d+\.\d+)")
_ANYWHERE = ("0.0.0.0/0", "::/0")
_MOVING = ("latest", "nightly", "master", "main", "gpu", "cpu")
_PORTS = {6379: "Ray's state", 8265: "jobs and dashboard", 10001: "Ray client"}


def ray_up_advice(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Warnings and notes about a file of `ray up`."""
    yield from _placeholders(config)
    yield from _dashboard(config)
    yield from _token_mode(config)
    yield from _open_ports(config)
    for name in ("image", "head_image", "worker_image"):
        image = get(config, "docker", name)
        if image is not None:
            yield from _image(image, ("docker", name))
    if get(config, "provider", "type") == "aws":
        for name in mapping(config, "available_node_types"):
            node = mapping(config, "available_node_types", name, "node_config")
            if node and "LaunchTemplate" not in node:
                yield from _metadata_service(node, name)


def kubernetes_advice(documents: Sequence[Mapping[str, Any]], at: int) -> Iterator[Problem]:
    """Warnings and notes about document `at` of a file for kubectl."""
    document = documents[at]
    yield from _placeholders(document)
    if document.get("kind") == "Secret" and (document.get("data") or document.get("stringData")):
        what = "A secret in a file is soon in a repository: use kubectl create secret."
        yield Problem(("kind",), what, "warning")
    for place, cluster in ray_clusters(document):
        if get(cluster, "authOptions", "mode") != "token":
            what = "Anybody who reaches the dashboard may run code: set mode: token."
            yield Problem((*place, "authOptions"), what, "warning")
        version = cluster.get("rayVersion")
        if version is not None and str(version) != versions.RAY:
            what = f"Ray {plain(version)} is not the {versions.RAY} that mimic-ray pins."
            yield Problem((*place, "rayVersion"), what, "warning")
        yield from _exposed(cluster, place)
        if not _policed(cluster, place, documents):
            what = "No NetworkPolicy of this file keeps other pods from Ray's ports."
            yield Problem((*place, "headGroupSpec", "template"), what, "warning")
        for pod_place, template in pods(cluster, place):
            yield from _pod(template, pod_place)


def _dashboard(config: Mapping[str, Any]) -> Iterator[Problem]:
    commands = config.get("head_start_ray_commands")
    if commands is None:
        what = "Without head_start_ray_commands Ray's dashboard listens on every interface."
        yield Problem(("head_start_ray_commands",), what, "warning")
        return
    for index, text in enumerate(commands if isinstance(commands, list) else ()):
        for host in _HOST.findall(str(text)):
            if host.strip("'\"") not in _LOOPBACK:
                what = f"The dashboard listens on {plain(host)}: make it 127.0.0.1 and tunnel."
                yield Problem(("head_start_ray_commands", index), what, "warning")


def _token_mode(config: Mapping[str, Any]) -> Iterator[Problem]:
    text = json.dumps(config, default=str)
    if not _MODE.search(text):
        what = "RAY_AUTH_MODE=token is not set: whoever reaches Ray's ports may run code."
        yield Problem(("docker", "run_options"), what, "warning")
    elif not any("auth_token" in path for path in mapping(config, "file_mounts")):
        what = "Token mode without a token file for the nodes: mount ~/.ray/auth_token."
        yield Problem(("file_mounts",), what, "warning")
    if _TOKEN.search(text):
        what = "RAY_AUTH_TOKEN is written out: mount a file instead, and make a new token."
        yield Problem(_where(config, _TOKEN), what, "error")


def _open_ports(config: Mapping[str, Any]) -> Iterator[Problem]:
    for index, rule in enumerate(items(config, "provider", "security_group", "IpPermissions")):
        ranges = [
            get(item, key)
            for name, key in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"))
            for item in items(rule, name)
        ]
        first, last = get(rule, "FromPort"), get(rule, "ToPort")
        if not set(ranges) & set(_ANYWHERE) or not isinstance(first, int):
            continue
        every = first == -1 or str(get(rule, "IpProtocol")) == "-1"
        last = last if isinstance(last, int) else first
        open_ = [
            f"{port} ({what})" for port, what in _PORTS.items() if every or first <= port <= last
        ]
        if open_:
            place = ("provider", "security_group", "IpPermissions", index)
            yield Problem(place, f"The whole internet reaches {', '.join(open_)}.", "warning")


def _metadata_service(node: Mapping[str, Any], name: str) -> Iterator[Problem]:
    place = ("available_node_types", name, "node_config", "MetadataOptions")
    if get(node, "MetadataOptions", "HttpTokens") != "required":
        what = "HttpTokens: required keeps the machine's role from a forged request."
        yield Problem(place, what, "warning")


def _exposed(cluster: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    head = get(cluster, "headGroupSpec")
    service = get(head, "serviceType")
    if service in ("LoadBalancer", "NodePort"):
        what = f"{service} shows Ray's ports outside the cluster: use kubectl port-forward."
        yield Problem((*place, "headGroupSpec", "serviceType"), what, "warning")
    if get(head, "enableIngress") is True:
        what = "An ingress shows the dashboard outside the cluster."
        yield Problem((*place, "headGroupSpec", "enableIngress"), what, "warning")


def _policed(cluster: Mapping[str, Any], place: Place, documents: Sequence[Any]) -> bool:
    if cluster.get("networkPolicy"):
        return True
    labels = [mapping(template, "metadata", "labels") for _, template in pods(cluster, place)]
    for document in documents:
        if get(document, "kind") == "NetworkPolicy":
            selector = mapping(document, "spec", "podSelector")
            wanted = mapping(selector, "matchLabels")
            if not selector or (
                wanted and all(wanted.items() <= dict(label).items() for label in labels)
            ):
                return True
    return False


def _pod(template: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    spec = get(template, "spec")
    if get(spec, "hostNetwork") is True:
        what = "A pod on the host's network is not covered by a NetworkPolicy."
        yield Problem((*place, "spec", "hostNetwork"), what, "warning")
    root = get(spec, "securityContext", "runAsNonRoot") is not True
    for index, container in enumerate(items(spec, "containers")):
        at = (*place, "spec", "containers", index)
        security = get(container, "securityContext")
        if get(security, "privileged") is True:
            yield Problem((*at, "securityContext"), "A privileged container is root.", "warning")
        elif root and get(security, "runAsNonRoot") is not True:
            what = "runAsNonRoot is not set, here or for the pod."
            yield Problem((*at, "securityContext"), what, "warning")
        if get(container, "image") is not None:
            yield from _image(get(container, "image"), (*at, "image"))
        for number, variable in enumerate(items(container, "env")):
            if get(variable, "name") == "RAY_AUTH_TOKEN" and get(variable, "value"):
                what = "The token is written out: use authOptions.secretName, and make a new one."
                yield Problem((*at, "env", number), what, "error")


def _image(image: Any, place: Place) -> Iterator[Problem]:
    name = str(image)
    if "@sha256:" in name:
        return
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag or tag in _MOVING or tag.startswith(("latest", "nightly")):
        what = f"{plain(name)} is another image tomorrow: name a version or a digest."
        yield Problem(place, what, "warning")
    found = _RAY_IN_TAG.search(name)
    if found and found[1] != versions.RAY:
        what = f"Ray {found[1]} of this image is not the {versions.RAY} that mimic-ray pins."
        yield Problem(place, what, "warning")


def _placeholders(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Once for each placeholder: `up` refuses to start with one."""
    for word in versions.PLACEHOLDERS:
        pattern = re.compile(re.escape(word))
        if pattern.search(json.dumps(document, default=str)):
            what = f'"{word}" is a placeholder: replace it with your own.'
            yield Problem(_where(document, pattern), what, "note")


def _where(node: Any, pattern: re.Pattern[str], place: Place = ()) -> Place:
    """The place of the first text that holds `pattern`."""
    if isinstance(node, Mapping | list):
        inner = node.items() if isinstance(node, Mapping) else enumerate(node)
        for key, value in inner:
            if pattern.search(json.dumps(value, default=str)):
                return _where(value, pattern, (*place, key if isinstance(key, int) else str(key)))
    return place
