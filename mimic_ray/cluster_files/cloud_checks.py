"""Checks the keys of `provider` and `node_config` for AWS and GCP, which Ray does not check.

`node_config` is checked against the request model of the cloud's SDK: RunInstances in botocore,
`instances` of the Compute API in google-api-python-client. Without the SDK there is a note instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import Problem, YamlPath
from mimic_ray.cluster_files.lookup import mapping
from mimic_ray.cluster_files.schema_checks import schema_problems, strict

_INSTALL = "install it with: pip install 'mimic-ray[cluster-check]'"

# Keys that Ray reads from `provider`. Its schema lists some of them and allows any other.
_PROVIDER_KEYS = (
    *("type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips"),
    *("use_external_head_ip", "disable_node_updaters", "disable_launch_config_check"),
    *("foreground_node_launch", "worker_liveness_check", "worker_rpc_drain"),
)
_PROVIDER: Mapping[str, tuple[str, ...]] = {
    "aws": (*_PROVIDER_KEYS, "cloudwatch", "aws_credentials", "key_pair", "security_group"),
    "gcp": (*_PROVIDER_KEYS, "project_id", "gcp_credentials"),
}
# Without one of these, Ray fails with a KeyError after it has created some resources.
_REQUIRED = {"aws": ["region"], "gcp": ["region", "availability_zone", "project_id"]}
_MACHINE = {"aws": "InstanceType", "gcp": "machineType"}
# Keys of `node_config` that Ray itself reads, and that name the machine in another way.
_TPU = ("acceleratorType", "acceleratorConfig", "runtimeVersion", "networkConfig")
_RAY_KEYS = {
    "aws": ("SubnetIds",),
    "gcp": (*_TPU, "schedulingConfig", "sourceInstanceTemplate"),
}
_TEMPLATES = ("LaunchTemplate", "sourceInstanceTemplate", *_TPU)
_SDK = {"aws": "botocore", "gcp": "googleapiclient"}


def cloud_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems of `provider` and of each `node_config`."""
    provider = config.get("provider")
    if not isinstance(provider, Mapping):
        return
    cloud = str(provider.get("type"))
    path: YamlPath = ("provider", "type")
    if cloud not in _PROVIDER:
        message = f"Keys of {plain(cloud)} are not checked, only those of aws and gcp."
        yield Problem(path, message, "note")
        return
    schema = {
        "properties": {key: {} for key in _PROVIDER[cloud]},
        "required": _REQUIRED[cloud],
        "additionalProperties": False,
    }
    yield from schema_problems(schema, provider, ("provider",))
    installed = find_spec(_SDK[cloud]) is not None
    if not installed:
        message = f"node_config is not checked because the SDK of {cloud} is missing: {_INSTALL}"
        yield Problem(path, message, "note")
    for name, node_type in mapping(config, "available_node_types").items():
        node = mapping(node_type, "node_config")
        path = ("available_node_types", str(name), "node_config")
        schema = _instance_schema(cloud) if installed else {}
        if not any(key in node for key in _TEMPLATES):
            schema = {**schema, "required": [_MACHINE[cloud]]}
        if node:
            yield from schema_problems(schema, node, path)


@cache
def _instance_schema(cloud: str) -> dict[str, Any]:
    """A JSON schema of `node_config`, from the SDK of the cloud."""
    schema = _run_instances() if cloud == "aws" else _compute_instance()
    schema["properties"] |= {key: {} for key in _RAY_KEYS[cloud]}
    return schema


def _run_instances() -> dict[str, Any]:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model("ec2", "service-2"), "ec2")
    schema = _shape_schema(model.operation_model("RunInstances").input_shape)
    del schema["required"]  # MinCount and MaxCount, which Ray sets
    return schema


def _shape_schema(shape: Any) -> dict[str, Any]:
    """The JSON schema of a botocore shape."""
    if shape.type_name == "structure":
        return {
            "type": "object",
            "properties": {name: _shape_schema(part) for name, part in shape.members.items()},
            "required": shape.required_members,
            "additionalProperties": False,
        }
    if shape.type_name == "list":
        return {"type": "array", "items": _shape_schema(shape.member)}
    types = {"long": "integer", "float": "number", "double": "number"}
    name = types.get(shape.type_name, shape.type_name)
    return {"type": name} if name in ("string", "integer", "number", "boolean") else {}


def _compute_instance() -> dict[str, Any]:
    spec = find_spec("googleapiclient")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    document = "discovery_cache/documents/compute.v1.json"
    text = (Path(spec.submodule_search_locations[0]) / document).read_text(encoding="utf-8")
    schemas = strict(json.loads(text, object_hook=_from_discovery)["schemas"])
    return {**schemas["Instance"], "schemas": schemas}


def _from_discovery(node: dict[str, Any]) -> dict[str, Any]:
    """A node of Google's discovery document -> the same in JSON Schema."""
    if isinstance(node.get("$ref"), str):
        node["$ref"] = f"#/schemas/{node['$ref']}"
    if node.get("format") in ("int64", "uint64"):
        node["type"] = ["string", "integer"]  # JSON has no 64-bit integers; the API takes both
    if node.get("type") == "any":
        del node["type"]
    return node
