"""Recipes as TOML files: by name (`configs/NAME.toml`), by path or address, with single keys
overridden."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from mimic_ray.base import files
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import RecipeError, UnknownNameError, UsageError, option
from mimic_ray.base.storage import local_copy
from mimic_ray.base.text import near_names, plain
from mimic_ray.encoders import encoder_registry
from mimic_ray.method.named_recipes import RECIPES, recipe_for, recipe_names
from mimic_ray.method.quick_recipe import at_effort
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.recipe_keys import join_key, set_key


def load_recipe(
    recipe: str | Path | Recipe = "default",
    overrides: Iterable[str] = (),
    encoder: str | None = None,
    effort: Effort = "full",
) -> Recipe:
    """A recipe by name or from a TOML file, with `key=value` changes such as "training.steps=800".

    "auto" depends on the encoder, by name: see `recipe_for`. The changes apply to the recipe for
    `effort` (see quick_recipe.py). Raises UnknownNameError, StorageError or RecipeError, the last
    with all mistakes at once.
    """
    return load_search(recipe, overrides, encoder, effort)[0]


def load_search(
    recipe: str | Path | Recipe = "default",
    overrides: Iterable[str] = (),
    encoder: str | None = None,
    effort: Effort = "full",
) -> tuple[Recipe, dict[str, str]]:
    """The same, with the file's [search] table as key -> values; only `tune` looks at that."""
    if isinstance(recipe, Recipe):
        source, content = "recipe", recipe.model_dump(mode="json")
    else:
        source = str(recipe)
        content = _read_tables(_find(_auto(encoder) if source == "auto" else source))
    searched = content.pop("search", {})
    if effort != "full":
        content = at_effort(parse_recipe(content, source), effort).model_dump(mode="json")
    changes = [_Change(text, *_parse_override(text)) for text in overrides]
    try:
        resolved = _changed(content, changes)
    except RecipeError:
        parse_recipe(content, source)  # if the file itself is wrong, it is named
        raise _wrong_changes(content, changes) from None
    return resolved, dict(_search_entries(searched, source))


def write_recipe(path: Path, recipe: Recipe, comment: str = "") -> None:
    """The complete recipe, every key with its value, below `comment`."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    files.write_text(path, head + tomli_w.dumps(recipe.model_dump(mode="json")))


def _auto(encoder: str | None) -> str:
    """What "auto" means; without an encoder, as for "default"."""
    if encoder is None:
        return "default"
    side = encoder_registry.input_size(encoder)
    return recipe_for(side, lambda: encoder_registry.has_batch_norm(encoder))


def _find(name_or_path: str) -> Path:
    path = local_copy(name_or_path)
    if path.suffix == ".toml" or "/" in name_or_path:
        if not path.is_file():
            raise UsageError(f"There is no recipe file {path}.")
        return path
    if (RECIPES / f"{name_or_path}.toml").is_file():
        return RECIPES / f"{name_or_path}.toml"
    if path.is_file():
        raise UsageError(f"A recipe file is named by its path: for {path} give ./{path}.")
    names = recipe_names()
    near = near_names(name_or_path, ["auto", *names]) or ["auto", *names]
    raise UnknownNameError("recipe", name_or_path, near, "A file is named by its path.")


def _read_tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise RecipeError(str(path), ["not a recipe: the file is not text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(str(path), [f"not valid TOML: {error}"]) from None


def _search_entries(
    table: Any, source: str, parents: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Dotted keys of a [search] table; a list of values is a choice."""
    if not isinstance(table, dict):
        raise RecipeError(source, ['search is a table: [search], then KEY = "uniform(0, 1)"'])
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _search_entries(value, source, (*parents, key))
        elif isinstance(value, list):
            yield join_key((*parents, key)), f"choice({', '.join(map(json.dumps, value))})"
        else:
            yield join_key((*parents, key)), str(value)


class _Change(NamedTuple):
    text: str
    key: str
    value: Any


def _changed(content: Mapping[str, Any], changes: Sequence[_Change]) -> Recipe:
    """Raises RecipeError."""
    tables = deepcopy(dict(content))
    for change in changes:
        set_key(tables, change.key, change.value)
    return parse_recipe(tables)


def _problems(content: Mapping[str, Any], changes: Sequence[_Change]) -> tuple[str, ...]:
    try:
        _changed(content, changes)
    except RecipeError as error:
        return error.problems
    return ()


def _wrong_changes(content: Mapping[str, Any], changes: Sequence[_Change]) -> RecipeError:
    """The error that names only the changes at fault: single ones, and those that contradict."""
    rest, faults = list(changes), list[tuple[int, str, str]]()
    while _problems(content, rest):
        # What is left when each change is dropped without which there is still a fault.
        culprits = list(rest)
        for change in rest:
            fewer = [other for other in culprits if other is not change]
            if _problems(content, fewer):
                culprits = fewer
        named = " and ".join(option("settings", f'"{plain(each.text)}"') for each in culprits)
        position = changes.index(culprits[0])
        faults += [(position, named, problem) for problem in _problems(content, culprits)]
        rest = [change for change in rest if not any(change is each for each in culprits)]
    (_, source, first), *others = sorted(faults, key=lambda fault: fault[0])
    return RecipeError(source, [first, *(f"{named}: {problem}" for _, named, problem in others)])


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f'Invalid setting "{text}": expected KEY=VALUE, such as training.steps=800.'
        )
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()  # a bare word is a string: student.start=random
