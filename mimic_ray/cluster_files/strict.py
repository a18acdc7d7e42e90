"""JSON schemas: read from the package, made strict, and their errors as problems with near names.

Kubernetes drops unknown keys without a word, and so do its schemas: `enableIntreeAutoscaling` is
simply no autoscaling. Strict means that an object whose keys are listed may have no others.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import Place, Problem, nearest, unknown_key

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


@cache
def packaged(name: str) -> dict[str, Any]:
    """The strict form of schemas/NAME.json.gz."""
    packed = files("mimic_ray.cluster_files") / "schemas" / f"{name}.json.gz"
    schema = strict(json.loads(gzip.decompress(packed.read_bytes())))
    # Kubernetes checks metadata itself; the schemas only say that it is an object.
    schema["properties"]["metadata"] = METADATA
    return schema


METADATA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 63, "pattern": r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"},
        "generateName": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array"},
        "ownerReferences": {"type": "array"},
    },
    "additionalProperties": False,
}


def strict(schema: Any, name: str = "") -> Any:
    """A copy that accepts no key beyond those listed, except where the schema opens itself."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {inner: strict(part, inner) for inner, part in value.items()}
        else:
            made[key] = strict(value)
    open_ = "additionalProperties" in made or made.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(made.get("properties"), dict) and not open_ and name != "metadata":
        made["additionalProperties"] = False
    return made


def problems(schema: Mapping[str, Any], data: Any, place: Place = ()) -> Iterator[Problem]:
    """Everything in which `data` departs from `schema`."""
    import jsonschema

    for error in jsonschema.Draft202012Validator(schema).iter_errors(data):
        yield from _problem(error, (*place, *error.absolute_path))


def _problem(error: Any, place: Place) -> Iterator[Problem]:
    known = list(error.schema.get("properties", {})) if isinstance(error.schema, Mapping) else []
    if error.validator == "additionalProperties":
        patterns = error.schema.get("patternProperties", {})
        for name in error.instance:
            if name not in known and not patterns:
                yield unknown_key(place, name, known)
    elif error.validator == "required":
        for name in error.validator_value:
            # A misspelt key is named as such; that it is missing is no second mistake.
            misspelt = nearest(name, [key for key in error.instance if key not in known])
            if name not in error.instance and not misspelt:
                yield Problem(place, f'"{name}" is missing.')
    elif error.validator == "type":
        wanted = _type(error.validator_value)
        bare = wanted == _TYPES["string"] and isinstance(error.instance, int | float)
        quotes = ": put it in quotes" if bare else ""
        yield Problem(place, f"{_shown(error.instance)} must be {wanted}{quotes}.")
    elif error.validator == "enum":
        there = ", ".join(map(str, error.validator_value))
        near = nearest(str(error.instance), [str(value) for value in error.validator_value])
        yield Problem(place, f"{_shown(error.instance)} is none of {there}.", "error", near)
    elif error.validator == "anyOf":
        types = _type([part["type"] for part in error.validator_value if "type" in part])
        yield Problem(place, f"{_shown(error.instance)} must be {types}.")
    elif error.validator == "pattern":
        is_amount = "[KMGTPE]i" in error.validator_value
        amount = ": an amount is 8, 500m or 320Gi" if is_amount else ""
        yield Problem(place, f"{_shown(error.instance)} is not written as it must be{amount}.")
    else:
        yield Problem(place, f"{plain(error.message)}.")


def _type(names: str | list[str]) -> str:
    names = [names] if isinstance(names, str) else names
    return " or ".join(_TYPES.get(name, name) for name in names)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "A mapping"
    if isinstance(value, list):
        return "A list"
    return plain(json.dumps(value, default=str), 80)
