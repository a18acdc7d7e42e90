"""The settings of a registry member, read from its signature.

A member is a class whose constructor parameters are its settings (usually a dataclass), or a
function whose keyword-only parameters are its settings:

    def stripes(side: int, *, period: Annotated[int, setting("pixels", ge=2)] = 4) -> ...

The type of a setting is its annotation, or the type of its default without an annotation.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial, update_wrapper
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from mimic_ray.base.text import count, plain

_EMPTY = inspect.Parameter.empty


def setting(description: str, *, unit: str = "", **bounds: Any) -> Any:
    """The metadata of a setting for `Annotated`: description, unit, and bounds such as `ge=0`."""
    return Field(description=description, json_schema_extra={"unit": unit}, **bounds)


class FrozenModel(BaseModel):
    """Immutable settings that refuse unknown names."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


@cache
def settings_model(
    member: Callable[..., Any], base: type[BaseModel] = FrozenModel
) -> type[BaseModel]:
    """A pydantic model with the fields of `base` and a field for each setting of `member`."""
    settings = {
        p.name: p
        for p in inspect.signature(member).parameters.values()
        if p.kind is p.KEYWORD_ONLY or (isinstance(member, type) and p.kind is not p.VAR_KEYWORD)
    }
    fields = {
        name: (hint, ... if settings[name].default is _EMPTY else settings[name].default)
        for name, hint in _hints(member, settings).items()
    }
    name = getattr(member, "__name__", "member")
    return create_model(  # type: ignore[call-overload]
        name, __base__=base, __cls_kwargs__={"extra": "forbid"}, **fields
    )


def _hints(member: Callable[..., Any], settings: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The type of each setting. Other annotations may use names that only type checkers import."""
    annotations = {
        name: type(p.default) if p.annotation is _EMPTY else p.annotation
        for name, p in settings.items()
    }
    module = sys.modules[member.__module__]
    return get_type_hints(
        SimpleNamespace(__annotations__=annotations), vars(module), include_extras=True
    )


def validated(member: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of the member: the given value, converted to its type, or the default.

    Raises pydantic.ValidationError for settings that the member does not take.
    """
    checked = settings_model(member).model_validate(given)
    return {name: getattr(checked, name) for name in type(checked).model_fields}


def configured(member: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """An instance of a class, or a function with its settings filled in; they are not checked."""
    if isinstance(member, type):
        return member(**settings)
    return update_wrapper(partial(member, **settings), member) if settings else member


# pydantic's types of errors in our words; the names in braces are those of its context.
_WORDS = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be an integer"),
    "int_parsing_size": "must be a smaller integer",
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "string_type": "must be text",
    "literal_error": "must be {expected}",
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be a table"),
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "missing": "is missing",
    "json_invalid": "is not valid JSON",
}


def in_words(problem: Mapping[str, Any]) -> str:
    """What is wrong, of one entry of `ValidationError.errors()`: "must be an integer"."""
    context = problem.get("ctx", {})
    if problem["type"] == "too_short":
        return f"must have {count(context['min_length'], 'entry', 'entries')} or more"
    if words := _WORDS.get(problem["type"]):
        return words.format(**context).replace("'", "")
    message = str(problem["msg"]).replace("Input should be", "must be")
    return message[0].lower() + message[1:]


def sentence(problem: Mapping[str, Any], where: str) -> str:
    """One entry of `ValidationError.errors()` as "where = value: what is wrong"."""
    if problem["type"] == "missing":
        return f"{where} {in_words(problem)}"
    return f"{where} = {plain(repr(problem['input']))}: {in_words(problem)}"
