"""Recipes as nested tables: dotted keys, the list of all keys, and mistakes in them in words."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from mimic_ray.base.errors import RecipeError
from mimic_ray.base.member_settings import sentence
from mimic_ray.base.registry import Registry
from mimic_ray.base.text import near_names, plain
from mimic_ray.base.user_code import is_user_code
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS
from mimic_ray.method.losses.loss_registry import LOSSES
from mimic_ray.method.recipe_sections import Sections
from mimic_ray.method.recipe_tables import (
    UNKNOWN_MEMBER,
    LossTable,
    MemberTable,
    PerturbationTable,
    as_loss_table,
    table_model,
)

# Sections whose keys are the names of a registry, and what is in the table of each.
_MEMBERS: dict[str, tuple[Registry[Any], type[MemberTable]]] = {
    "perturbations": (PERTURBATIONS, PerturbationTable),
    "loss": (LOSSES, LossTable),
    "estimators": (ESTIMATORS, MemberTable),
}


@dataclass(frozen=True)
class RecipeKey:
    """One key of a recipe. `bounds` and `unit` are words, "" where there are none."""

    key: str
    kind: str
    default: Any
    bounds: str
    unit: str
    description: str


def sentences(error: ValidationError) -> list[str]:
    """Each mistake in the tables of a recipe, with near names of unknown keys."""
    return [_sentence(problem) for problem in error.errors()]


def split_key(dotted: str) -> tuple[str, ...]:
    """`training.steps` -> its parts, as TOML reads them: `loss."my.py:spread".weight` has three.

    `loss.clone` stands for `loss.clone.weight`. Raises RecipeError for what is not a key.
    """
    parts: list[str] = []
    with suppress(tomllib.TOMLDecodeError):
        table: Any = tomllib.loads(f"{dotted} = 0")
        while isinstance(table, dict) and len(table) == 1:
            ((part, table),) = table.items()
            parts.append(part)
    if not parts:
        raise RecipeError(plain(dotted), ["not a key; quote names with dots in them"])
    return (*parts, "weight") if parts[0] == "loss" and len(parts) == 2 else tuple(parts)


def join_key(parts: tuple[str, ...]) -> str:
    """The inverse of `split_key`."""
    bare = [part.replace("_", "").replace("-", "").isalnum() for part in parts]
    return ".".join(p if plain_ else f'"{p}"' for p, plain_ in zip(parts, bare, strict=True))


def whole_key(dotted: str) -> str:
    """The key as `known_keys` spells it: `loss.clone` -> `loss.clone.weight`."""
    return join_key(split_key(dotted))


def set_key(content: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets `training.steps` and the like in nested tables, in place."""
    parts = split_key(dotted)
    if isinstance(value, dict) and parts[0] == "loss" and len(parts) == 3:
        parts = parts[:2]  # a whole table for a term
    for number, table in enumerate(parts[:-1]):
        if number == 1 and parts[0] == "loss" and table in content:
            content[table] = as_loss_table(content[table])
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise RecipeError(dotted, [f'"{table}" is a value, not a table'])
    content[parts[-1]] = value


def read_key(content: Mapping[str, Any], dotted: str) -> Any:
    """The value of `training.steps` and the like in nested tables. Raises KeyError."""
    value: Any = content
    for part in split_key(dotted):
        value = value[part]
    return value


def settings_by_key(recipe: Sections) -> dict[str, Any]:
    """Every key of a recipe with its value: `training.steps` -> 600."""

    def entries(table: Mapping[str, Any], *parents: str) -> Iterator[tuple[str, Any]]:
        for name, value in table.items():
            if isinstance(value, Mapping):
                yield from entries(value, *parents, name)
            else:
                yield join_key((*parents, name)), value

    return dict(entries(recipe.model_dump(mode="json")))


def known_keys() -> list[str]:
    """Every dotted key of a recipe, without those of a user's own members."""
    return [key.key for key in recipe_keys()]


def is_known_key(dotted: str) -> bool:
    """Whether a recipe may have the key; of a user's own member, any setting."""
    parts = split_key(dotted)
    own = len(parts) == 3 and parts[0] in _MEMBERS and is_user_code(parts[1])
    return own or join_key(parts) in known_keys()


def recipe_keys() -> Iterator[RecipeKey]:
    """Every key with its type, default, bounds, unit and meaning, in the order of a recipe."""
    defaults = Sections().model_dump(mode="json")
    for section, field in Sections.model_fields.items():
        if section in _MEMBERS:
            registry, base = _MEMBERS[section]
            for name in registry:
                model = table_model(registry, base, name)
                yield from _keys(f"{section}.{name}", model, defaults[section][name])
        else:
            assert isinstance(field.annotation, type)
            yield from _keys(section, field.annotation, defaults[section])


def section_titles() -> dict[str, str]:
    """Section of a recipe -> what it is about, from the docstring of its model."""
    return {
        name: " ".join((field.annotation.__doc__ or "").split())
        for name, field in Sections.model_fields.items()
        if field.annotation
    }


def _keys(prefix: str, model: type[BaseModel], defaults: Mapping[str, Any]) -> Iterator[RecipeKey]:
    schema = model.model_json_schema()["properties"] if model.model_fields else {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        yield RecipeKey(
            f"{prefix}.{name}",
            _kind(schema[name]),
            defaults[name],
            _bounds(field),
            unit,
            field.description or "",
        )


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    words = {"integer": "int", "number": "float", "boolean": "true | false", "string": "text"}
    return words.get(schema.get("type", ""), "value")


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "min_length": "entries >="}
    return ", ".join(
        f"{sign} {getattr(rule, attribute)}"
        for rule in field.metadata
        for attribute, sign in signs.items()
        if getattr(rule, attribute, None) is not None
    )


def near_keys(key: str) -> list[str]:
    """The dotted keys that `key` was probably meant to be, nearest first."""
    # Keys of estimators last: they share many names with the sections.
    keys = sorted(known_keys(), key=lambda name: name.startswith("estimators."))
    table, _, last = key.rpartition(".")
    inside = {k.rpartition(".")[2]: k for k in keys if k.rpartition(".")[0] == table}
    if near := near_names(last, inside):  # the table is right
        return [inside[name] for name in near]
    known = {name: [name] for name in keys}
    for name in keys if "." not in key else []:
        known.setdefault(name.rpartition(".")[2], []).append(name)
    near = [key] if key in known else near_names(key, known)
    return [name for each in near for name in known[each]][:3]


def _near_tables(name: str) -> list[str]:
    """The tables that `name` was probably meant to be, such as `loss.clone`, nearest first."""
    tables = dict.fromkeys(key.rpartition(".")[0] for key in known_keys())
    sections = dict.fromkeys(table.partition(".")[0] for table in tables)
    return near_names(name, {**sections, **tables})


def _advice(key: str, value: Any) -> str:
    """What was probably meant: a table only where a table was given."""
    if near := _near_tables(key) if isinstance(value, Mapping) else near_keys(key):
        return f" (did you mean {' or '.join(near)}?)"
    if tables := _near_tables(key):
        return f" (the keys of the table {tables[0]} begin with {tables[0]}.)"
    return ""


def _sentence(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "recipe"
    if problem["type"] in ("extra_forbidden", UNKNOWN_MEMBER):
        return f'there is no key "{plain(where)}"{_advice(where, problem["input"])}'
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return sentence(problem, where)
