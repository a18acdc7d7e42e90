"""A `ray up` file against Ray's schema and rules, and against the API of its cloud."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files.cloud_checks import cloud_problems
from mimic_ray.cluster_files.findings import Problem, unknown_name
from mimic_ray.cluster_files.lookup import get, mapping
from mimic_ray.cluster_files.ray_definitions import provider_names, ray_schema, refusal
from mimic_ray.cluster_files.ray_start_checks import start_command_problems
from mimic_ray.cluster_files.schema_checks import schema_problems


def ray_up_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """All problems of the schemas and, if there are no errors, of Ray's rules."""
    found = [
        *schema_problems(ray_schema(), config),
        *_provider_problems(config),
        *_node_type_problems(config),
        *cloud_problems(config),
        *start_command_problems(config),
    ]
    yield from found
    if not any(problem.level == "error" for problem in found):
        yield from _rule_problems(config)


def _provider_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    name = get(config, "provider", "type")
    if isinstance(name, str) and name not in provider_names():
        yield unknown_name(("provider", "type"), "provider", name, provider_names())


def _node_type_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    types = config.get("available_node_types")
    head = config.get("head_node_type")
    if isinstance(types, Mapping) and isinstance(head, str) and head not in types:
        yield unknown_name(("head_node_type",), "node type", head, map(str, types))
    for name, node_type in mapping(config, "available_node_types").items():
        least, most = get(node_type, "min_workers"), get(node_type, "max_workers")
        if isinstance(least, int) and isinstance(most, int) and least > most:
            path = ("available_node_types", str(name), "min_workers")
            yield Problem(path, f"min_workers {least} is more than max_workers {most}.")


def _rule_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    reason = refusal(config)
    if reason:
        keys = ("head_node_type", "max_workers", "docker")
        words = ("head_node_type", "max_workers", "container")
        path = next(((key,) for key, word in zip(keys, words, strict=True) if word in reason), ())
        yield Problem(path, f"Ray refuses it: {plain(reason).rstrip('.')}.")
