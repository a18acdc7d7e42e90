"""The text of a call from Python, recorded as the command in run.json and study.json."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mimic_ray.method.recipe import Recipe


def python_call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """`mimic_ray.purify(encoder='resnet50', ...)` with all arguments that are not defaults.

    `arguments` may be `locals()` of the function; callbacks are omitted.
    """
    shown = [
        f"{name}={_literal(arguments[name])}"
        for name, parameter in inspect.signature(function).parameters.items()
        if not _is_default(arguments[name], parameter.default) and not callable(arguments[name])
    ]
    return f"mimic_ray.{function.__name__}({', '.join(shown)})"


def _is_default(value: Any, default: Any) -> bool:
    return bool(value == default) or (default == () and isinstance(value, list) and not value)


def _literal(value: Any) -> str:
    if isinstance(value, Recipe):
        return "Recipe(...)"  # its content is in recipe.toml
    return repr(str(value)) if isinstance(value, Path) else repr(value)
