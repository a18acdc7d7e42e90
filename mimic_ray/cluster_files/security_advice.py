"""Warnings about insecure but valid files: exposed ports, a missing token, mutable images.

Anyone who can reach Ray's ports can run code (CVE-2023-48022), so a file should keep them closed
and require the token. An image without a version can change whenever it is pulled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files import versions
from mimic_ray.cluster_files.findings import Problem, YamlPath
from mimic_ray.cluster_files.kubernetes_checks import pods, ray_clusters
from mimic_ray.cluster_files.lookup import get, items, mapping

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DASHBOARD_HOST = re.compile(r"--dashboard-host[= ]+(\S+)")
_TOKEN_MODE = re.compile(r"\bRAY_AUTH_MODE=[\"']?token\b")
_TOKEN = re.compile(r"\bRAY_AUTH_TOKEN=(?![\"']?\$)\S")
_RAY_IN_TAG = re.compile(r"(?:/ray:|-ray)(\d+\.\d+\.\d+)")
_ANYWHERE = ("0.0.0.0/0", "::/0")
_MUTABLE_TAGS = ("latest", "nightly", "master", "main", "gpu", "cpu")
_PORTS = {6379: "Ray's state", 8265: "jobs and dashboard", 10001: "Ray client"}


def ray_up_advice(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Warnings and notes about a `ray up` file."""
    yield from _placeholder_notes(config)
    yield from _dashboard_advice(config)
    yield from _token_advice(config)
    yield from _port_advice(config)
    for name in ("image", "head_image", "worker_image"):
        image = get(config, "docker", name)
        if image is not None:
            yield from _image_advice(image, ("docker", name))
    if get(config, "provider", "type") == "aws":
        for name in mapping(config, "available_node_types"):
            node = mapping(config, "available_node_types", name, "node_config")
            if node and "LaunchTemplate" not in node:
                yield from _metadata_service_advice(node, str(name))


def kubernetes_advice(
    document: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]
) -> Iterator[Problem]:
    """Warnings and notes about one of the documents of a Kubernetes file."""
    yield from _placeholder_notes(document)
    if document.get("kind") == "Secret" and (document.get("data") or document.get("stringData")):
        message = "Do not keep a secret in a file: use kubectl create secret."
        yield Problem(("kind",), message, "warning")
    for path, cluster in ray_clusters(document):
        if get(cluster, "authOptions", "mode") != "token":
            message = "Anyone who reaches the dashboard can run code: set mode: token."
            yield Problem((*path, "authOptions"), message, "warning")
        version = cluster.get("rayVersion")
        if version is not None and str(version) != versions.RAY:
            message = (
                f"Ray {plain(version)} is not {versions.RAY}, the version that mimic-ray pins."
            )
            yield Problem((*path, "rayVersion"), message, "warning")
        yield from _service_advice(cluster, path)
        if not _has_network_policy(cluster, path, documents):
            message = "No NetworkPolicy in this file protects Ray's ports from other pods."
            yield Problem((*path, "headGroupSpec", "template"), message, "warning")
        for pod_path, template in pods(cluster, path):
            yield from _pod_advice(template, pod_path)


def _dashboard_advice(config: Mapping[str, Any]) -> Iterator[Problem]:
    commands = config.get("head_start_ray_commands")
    if commands is None:
        message = "Without head_start_ray_commands the dashboard listens on every interface."
        yield Problem(("head_start_ray_commands",), message, "warning")
        return
    for index, text in enumerate(commands if isinstance(commands, list) else ()):
        for host in _DASHBOARD_HOST.findall(str(text)):
            if host.strip("'\"") not in _LOOPBACK:
                message = f"The dashboard listens on {plain(host)}: use 127.0.0.1 and a tunnel."
                yield Problem(("head_start_ray_commands", index), message, "warning")


def _token_advice(config: Mapping[str, Any]) -> Iterator[Problem]:
    text = json.dumps(config, default=str)
    if not _TOKEN_MODE.search(text):
        message = "RAY_AUTH_MODE=token is not set: anyone who reaches Ray's ports can run code."
        yield Problem(("docker", "run_options"), message, "warning")
    elif not any("auth_token" in str(path) for path in mapping(config, "file_mounts")):
        message = "Token mode needs a token file on the nodes: mount ~/.ray/auth_token."
        yield Problem(("file_mounts",), message, "warning")
    if _TOKEN.search(text):
        message = "The file contains the value of RAY_AUTH_TOKEN: mount a file with a new token."
        yield Problem(_path_of(config, _TOKEN), message, "error")


def _port_advice(config: Mapping[str, Any]) -> Iterator[Problem]:
    for index, rule in enumerate(items(config, "provider", "security_group", "IpPermissions")):
        ranges = [
            get(item, key)
            for name, key in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6"))
            for item in items(rule, name)
        ]
        first, last = get(rule, "FromPort"), get(rule, "ToPort")
        # A rule for all protocols has no ports.
        every = first == -1 or str(get(rule, "IpProtocol")) == "-1"
        first = first if isinstance(first, int) else max(_PORTS) + 1
        last = last if isinstance(last, int) else first
        if not set(map(str, ranges)) & set(_ANYWHERE):
            continue
        open_ = [
            f"{port} ({use})" for port, use in _PORTS.items() if every or first <= port <= last
        ]
        if open_:
            path = ("provider", "security_group", "IpPermissions", index)
            yield Problem(path, f"Open to the whole internet: {', '.join(open_)}.", "warning")


def _metadata_service_advice(node: Mapping[str, Any], name: str) -> Iterator[Problem]:
    path = ("available_node_types", name, "node_config", "MetadataOptions")
    if get(node, "MetadataOptions", "HttpTokens") != "required":
        message = "Set HttpTokens: required to protect the credentials of the machine's role."
        yield Problem(path, message, "warning")


def _service_advice(cluster: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    head = get(cluster, "headGroupSpec")
    service = get(head, "serviceType")
    if service in ("LoadBalancer", "NodePort"):
        message = f"{service} exposes Ray's ports outside the cluster: use kubectl port-forward."
        yield Problem((*path, "headGroupSpec", "serviceType"), message, "warning")
    if get(head, "enableIngress") is True:
        message = "An ingress exposes the dashboard outside the cluster."
        yield Problem((*path, "headGroupSpec", "enableIngress"), message, "warning")


def _has_network_policy(
    cluster: Mapping[str, Any], path: YamlPath, documents: Sequence[Any]
) -> bool:
    """Whether a policy selects all pods of the cluster."""
    if cluster.get("networkPolicy"):
        return True
    labels = [dict(mapping(template, "metadata", "labels")) for _, template in pods(cluster, path)]
    for document in documents:
        if get(document, "kind") == "NetworkPolicy":
            selector = mapping(document, "spec", "podSelector")
            required = mapping(selector, "matchLabels")
            if not selector:
                return True
            if required and all(required.items() <= each.items() for each in labels):
                return True
    return False


def _pod_advice(template: Mapping[str, Any], path: YamlPath) -> Iterator[Problem]:
    spec = get(template, "spec")
    if get(spec, "hostNetwork") is True:
        message = "A NetworkPolicy does not apply to a pod on the host's network."
        yield Problem((*path, "spec", "hostNetwork"), message, "warning")
    pod_may_be_root = get(spec, "securityContext", "runAsNonRoot") is not True
    for index, container in enumerate(items(spec, "containers")):
        at = (*path, "spec", "containers", index)
        security = get(container, "securityContext")
        if get(security, "privileged") is True:
            message = "A privileged container is root on its node."
            yield Problem((*at, "securityContext"), message, "warning")
        elif pod_may_be_root and get(security, "runAsNonRoot") is not True:
            message = "Set runAsNonRoot: true, here or for the pod."
            yield Problem((*at, "securityContext"), message, "warning")
        if get(container, "image") is not None:
            yield from _image_advice(get(container, "image"), (*at, "image"))
        for number, variable in enumerate(items(container, "env")):
            if get(variable, "name") == "RAY_AUTH_TOKEN" and get(variable, "value"):
                message = "The file contains the token: use authOptions.secretName and a new token."
                yield Problem((*at, "env", number), message, "error")


def _image_advice(image: Any, path: YamlPath) -> Iterator[Problem]:
    name = str(image)
    if "@sha256:" in name:
        return
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag or tag in _MUTABLE_TAGS or tag.startswith(("latest", "nightly")):
        message = f"{plain(name)} uses a mutable tag: pin a version or a digest."
        yield Problem(path, message, "warning")
    found = _RAY_IN_TAG.search(name)
    if found and found[1] != versions.RAY:
        message = f"The image has Ray {found[1]}, but mimic-ray pins {versions.RAY}."
        yield Problem(path, message, "warning")


def _placeholder_notes(document: Mapping[str, Any]) -> Iterator[Problem]:
    """One note per placeholder. `mimic-ray cluster up` refuses a file with one."""
    for word in versions.PLACEHOLDERS:
        pattern = re.compile(re.escape(word))
        if pattern.search(json.dumps(document, default=str)):
            message = f'"{word}" is a placeholder: replace it with your own.'
            yield Problem(_path_of(document, pattern), message, "note")


def _path_of(node: Any, pattern: re.Pattern[str], path: YamlPath = ()) -> YamlPath:
    """The path of the first value that contains `pattern`."""
    if isinstance(node, Mapping | list):
        inner = node.items() if isinstance(node, Mapping) else enumerate(node)
        for key, value in inner:
            if pattern.search(json.dumps(value, default=str)):
                return _path_of(value, pattern, (*path, key if isinstance(key, int) else str(key)))
    return path
