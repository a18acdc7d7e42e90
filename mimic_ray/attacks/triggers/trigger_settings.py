"""`side=12,corner=top-left` -> keyword arguments of a trigger's function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, get_type_hints

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.text import near_names


def parse_settings(make: Callable[..., Any], name: str, text: str) -> dict[str, Any]:
    """The settings in `text`, each of the type that the keyword of `make` is declared with.

    Raises UnknownNameError for a keyword that `make` does not have, UsageError for anything that
    is not `key=value` or a value of another type.
    """
    keywords = {
        parameter.name: get_type_hints(make)[parameter.name]
        for parameter in inspect.signature(make).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    settings: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UsageError(
                f'trigger "{name}:{text}": "{part}" is no setting, write it as key=value '
                f"({', '.join(keywords)})."
            )
        if key not in keywords:
            raise UnknownNameError(
                f"{name} setting",
                key,
                near_names(key, keywords),
                f"It has {', '.join(keywords)}.",
            )
        settings[key] = _converted(value, keywords[key], f'trigger "{name}": {key}={value}')
    return settings


def _converted(value: str, hint: Any, where: str) -> Any:
    # `int | None` stands for a default that depends on the image's side.
    kind = next(t for t in (int, float, str) if hint in (t, t | None))
    try:
        converted = kind(value)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ValueError
        return converted
    except ValueError:
        words = {int: "a whole number", float: "a number"}
        raise UsageError(f"{where} must be {words[kind]}.") from None
