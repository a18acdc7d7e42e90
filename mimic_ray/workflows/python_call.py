"""The text of a call from Python, which run.json and study.json record as the command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mimic_ray.method.recipe import Recipe


def python_call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """`mimic_ray.purify(encoder='resnet50', ...)`: arguments that differ from their defaults.

    `arguments` may be `locals()` of the function; callbacks are left out.
    """
    shown = [
        f"{name}={_literal(arguments[name])}"
        for name, parameter in inspect.signature(function).parameters.items()
        if arguments[name] != parameter.default and not callable(arguments[name])
    ]
    return f"mimic_ray.{function.__name__}({', '.join(shown)})"


def _literal(value: Any) -> str:
    if isinstance(value, Recipe):
        return "Recipe(...)"  # recipe.toml has all of it
    return repr(str(value)) if isinstance(value, Path) else repr(value)
