"""The reference page of the recipe's keys, made from the pydantic model."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mimic_ray.method.recipe import Recipe

try:
    from mimic_ray.method.recipe_keys import recipe_keys, section_titles
except ImportError:
    recipe_keys = None


def page() -> str:
    """A section for each table of the recipe, with a row for each key."""
    return _from_keys() if recipe_keys else _from_model()


def _from_keys() -> str:
    keys = list(recipe_keys())
    lines: list[str] = []
    for section, title in section_titles().items():
        lines += [f"## {section}", "", title, ""]
        lines += ["| key | values | unit | default | meaning |", "|---|---|---|---|---|"]
        for key in keys:
            if key.key.partition(".")[0] == section:
                values = f"{key.kind}, {key.bounds}" if key.bounds else key.kind
                cells = [f"`{key.key}`", values, key.unit, f"`{_toml(key.default)}`"]
                lines.append(_row([*cells, key.description]))
        lines.append("")
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _from_model() -> str:
    lines: list[str] = []
    for name, field in Recipe.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            raise TypeError(f"recipe.{name} is no table")
        lines += [f"## {name}", "", inspect.cleandoc(section.__doc__ or ""), ""]
        lines += ["| key | values | unit | default | meaning |", "|---|---|---|---|---|"]
        lines += rows(name, section, field.get_default())
        lines.append("")
    return "\n".join(lines)


def rows(prefix: str, section: type[BaseModel], defaults: Any) -> list[str]:
    """A table row for each key of a section, nested sections included."""
    lines = []
    for name, field in section.model_fields.items():
        value = getattr(defaults, name, PydanticUndefined)
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            lines += rows(f"{prefix}.{name}", nested, value)
            continue
        cells = [
            f"`{prefix}.{name}`",
            allowed(field),
            unit(field),
            f"`{_toml(value)}`",
            " ".join((field.description or "").split()),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def allowed(field: FieldInfo) -> str:
    """The values of a key in words, such as `number, 0 to 1`."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        choices = get_args(inner) if get_origin(inner) is Literal else ()
        listed = f" of {', '.join(f'`{_toml(c)}`' for c in choices)}" if choices else " of text"
        return "list" + listed
    word = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}.get(kind)
    return (word or "text") + _bounds(field)


def unit(field: FieldInfo) -> str:
    """The unit that the model states for a key."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def _bounds(field: FieldInfo) -> str:
    limits = {}
    for each in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(each, name, None) is not None:
                limits[name] = getattr(each, name)
    if "ge" in limits and "le" in limits:
        return f", {limits['ge']} to {limits['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return "".join(f", {words[name]} {value}" for name, value in limits.items())


def _toml(value: Any) -> str:
    if value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return re.sub(r"e([+-])0?", r"e\1", f"{value:.6g}") if isinstance(value, float) else str(value)
