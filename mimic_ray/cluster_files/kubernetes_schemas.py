"""JSON schemas of Kubernetes documents by apiVersion and kind.

KubeRay's own schemas are packaged here (schemas/README.md). Those of Kubernetes come from the
package kubernetes-validate, in its strict form, if it is installed.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from mimic_ray.cluster_files.schema_checks import strict

RAY_API = "ray.io/v1"
_RAY_KINDS = ("RayCluster", "RayJob", "RayService", "RayCronJob")
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("name", "generateName", "namespace")},
        **dict.fromkeys(("labels", "annotations"), _TEXTS),
        **{name: {"type": "array"} for name in ("finalizers", "ownerReferences")},
    },
    "additionalProperties": False,
}


def core_installed() -> bool:
    """Whether the schemas of Kubernetes itself are installed."""
    return find_spec("kubernetes_validate") is not None


@cache
def known_kinds() -> dict[str, dict[str, str]]:
    """apiVersion -> kind -> the name of its definition, empty for kinds of KubeRay."""
    kinds: dict[str, dict[str, str]] = {RAY_API: dict.fromkeys(_RAY_KINDS, "")}
    definitions = _core()["$defs"] if core_installed() else {}
    for name, definition in definitions.items():
        for identity in definition.get("x-kubernetes-group-version-kind", []):
            version = "/".join(filter(None, (identity["group"], identity["version"])))
            kinds.setdefault(version, {})[identity["kind"]] = name
    return kinds


@cache
def schema_of(version: str, kind: str) -> dict[str, Any] | None:
    """The strict schema of a known kind; None for kinds of KubeRay that are not checked."""
    if version != RAY_API:
        return {**_core(), "$ref": f"#/$defs/{known_kinds()[version][kind]}"}
    file = files("mimic_ray.cluster_files") / "schemas" / f"{kind.lower()}.json.gz"
    if not file.is_file():
        return None
    schema: dict[str, Any] = strict(json.loads(gzip.decompress(file.read_bytes())))
    # Kubernetes itself checks metadata; KubeRay's schema only says that it is an object.
    schema["properties"]["metadata"] = _METADATA
    return schema


@cache
def _core() -> dict[str, Any]:
    from kubernetes_validate.utils import latest_version, schema_contents

    version = latest_version()
    name = f"kubernetes-json-schema/v{version}-local-strict/_definitions.json"
    definitions: dict[str, Any] = schema_contents(name, version)
    return definitions
