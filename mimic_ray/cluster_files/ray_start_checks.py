"""The options of `ray start` in a cluster file.

They are in no schema. A misspelt option stops the head at start-up or makes a pod restart forever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.cluster_files.findings import Problem, YamlPath, unknown_name
from mimic_ray.cluster_files.lookup import items, mapping
from mimic_ray.cluster_files.ray_definitions import start_options

_START = re.compile(r"\bray\s+start\b([^;&|]*)")
_OPTION = re.compile(r"(?<!\S)--([\w-]+)")


def start_command_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Unknown options in the start commands of a `ray up` file."""
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for index, command in enumerate(items(config, key)):
            for options in _START.findall(str(command)):
                yield from _unknown(_OPTION.findall(options), (key, index))


def start_param_problems(group: Any, path: YamlPath) -> Iterator[Problem]:
    """Unknown options in `rayStartParams` of a KubeRay head or worker group at `path`."""
    for name in mapping(group, "rayStartParams"):
        yield from _unknown([str(name)], (*path, "rayStartParams", str(name)))


def _unknown(names: list[str], path: YamlPath) -> Iterator[Problem]:
    for name in names:
        if name not in start_options():
            yield unknown_name(path, "ray start option", name, start_options())
