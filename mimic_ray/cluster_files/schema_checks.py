"""JSON schemas: made strict, and their errors as problems with suggestions.

Kubernetes silently drops unknown keys: with `enableIntreeAutoscaling` there is no autoscaling and
no error. A strict schema therefore refuses every key that it does not list.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import Problem, YamlPath, nearest, unknown_key

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def strict(schema: Any) -> Any:
    """A copy that refuses unknown keys, except where the schema allows them explicitly."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            copy[key] = {name: strict(part) for name, part in value.items()}
        else:
            copy[key] = strict(value)
    open_ = "additionalProperties" in copy or copy.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(copy.get("properties"), dict) and not open_:
        copy["additionalProperties"] = False
    return copy


def schema_problems(schema: Mapping[str, Any], data: Any, path: YamlPath = ()) -> Iterator[Problem]:
    """All differences between `data`, the part of a document at `path`, and `schema`."""
    import jsonschema

    for error in jsonschema.Draft202012Validator(schema).iter_errors(data):
        yield from _problem(error, (*path, *error.absolute_path))


def _problem(error: Any, path: YamlPath) -> Iterator[Problem]:
    known = list(error.schema.get("properties", {})) if isinstance(error.schema, Mapping) else []
    shown = _shown(error.instance)
    if error.validator == "additionalProperties":
        if not error.schema.get("patternProperties"):
            yield from (
                unknown_key(path, name, known) for name in error.instance if name not in known
            )
    elif error.validator == "required":
        for name in error.validator_value:
            # A misspelt key is reported as unknown, so it is not also reported as missing.
            closed = error.schema.get("additionalProperties") is False
            unknown = [str(key) for key in error.instance if closed and key not in known]
            misspelt = nearest(name, unknown)
            if name not in error.instance and not misspelt:
                yield Problem(path, f'"{name}" is missing.')
    elif error.validator == "type":
        expected = _type_names(error.validator_value)
        number = expected == _TYPES["string"] and isinstance(error.instance, int | float)
        yield Problem(path, f"{shown} must be {expected}{': put it in quotes' if number else ''}.")
    elif error.validator == "enum":
        allowed = [str(value) for value in error.validator_value if value is not None]
        near = nearest(str(error.instance), allowed)
        yield Problem(path, f"{shown} must be one of {', '.join(allowed)}.", "error", near)
    elif error.validator in ("anyOf", "oneOf"):
        types = [name for part in error.validator_value for name in _as_list(part.get("type", []))]
        yield Problem(path, f"{shown} must be {_type_names(types)}.")
    elif error.validator == "pattern":
        is_amount = "[KMGTPE]i" in error.validator_value
        example = ": write an amount as 8, 500m or 320Gi" if is_amount else ""
        yield Problem(path, f"{shown} has an invalid format{example}.")
    else:
        yield Problem(path, f"{plain(error.message)}.")


def _type_names(types: str | list[str]) -> str:
    names = list(dict.fromkeys(_as_list(types)))
    names = [name for name in names if name != "null"] or names
    return " or ".join(_TYPES.get(name, name) for name in names)


def _as_list(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "A mapping"
    if isinstance(value, list):
        return "A list"
    return plain(json.dumps(value, default=str), 80)
