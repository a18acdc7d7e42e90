"""The options of `ray start`, wherever a cluster file gives them.

No schema knows them: a misspelt one ends the head when it starts, or a pod again and again.
The list is that of Ray 2.60 (a test compares).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.cluster_files.findings import Place, Problem, unknown
from mimic_ray.cluster_files.lookup import items, mapping

OPTIONS = (
    *("address", "autoscaling-config", "block", "cgroup-path", "dashboard-agent-grpc-port"),
    *("dashboard-agent-listen-port", "dashboard-host", "dashboard-port", "disable-usage-stats"),
    *("enable-object-reconstruction", "enable-resource-isolation", "head", "include-dashboard"),
    *("include-log-monitor", "labels", "labels-file", "log-color", "log-style", "max-worker-port"),
    *("memory", "metrics-export-port", "min-worker-port", "no-monitor", "no-redirect-output"),
    *("node-ip-address", "node-manager-port", "node-name", "num-cpus", "num-gpus"),
    *("object-manager-port", "object-spilling-directory", "object-store-memory"),
    *("plasma-directory", "port", "proxy-server-url", "ray-client-server-port"),
    *("ray-debugger-external", "redis-password", "redis-shard-ports", "redis-username"),
    *("resources", "runtime-env-agent-port", "system-config", "system-reserved-cpu"),
    *("system-reserved-memory", "temp-dir", "tracing-startup-hook", "verbose"),
    "worker-port-list",
)
_START = re.compile(r"\bray\s+start\b([^;&|]*)")
_OPTION = re.compile(r"(?<!\S)--([\w-]+)")


def start_command_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Of the commands that a file of `ray up` runs on its nodes."""
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for index, command in enumerate(items(config, key)):
            for options in _START.findall(str(command)):
                for name in _OPTION.findall(options):
                    if name not in OPTIONS:
                        yield _unknown((key, index), name)


def start_param_problems(group: Any, place: Place) -> Iterator[Problem]:
    """Of `rayStartParams` of a head or worker group of KubeRay."""
    for name in mapping(group, "rayStartParams"):
        if name not in OPTIONS:
            yield _unknown((*place, "rayStartParams", name), name)


def _unknown(place: Place, name: str) -> Problem:
    return unknown(place, "option of ray start", name, OPTIONS)
