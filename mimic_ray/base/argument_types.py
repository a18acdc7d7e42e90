"""Checks arguments of the Python API against the annotations of the functions and dataclasses.

The command line converts its own arguments. A caller in Python may pass anything, and without a
check a wrong type surfaces deep inside the work, as an error about something else.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain

P = ParamSpec("P")
R = TypeVar("R")

_WORDS = {
    Any: "anything",
    NoneType: "None",
    Path: "a Path",
    bool: "True or False",
    float: "a number",
    int: "an int",
    str: "a str",
}
# Values of other types, such as tensors, are shown by their type.
_SHOWN = (NoneType, bool, int, float, str, bytes, list, tuple, dict, set, Path)
_LONGEST = 80


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """The function with a check of its arguments, which raises UsageError for a wrong type.

    Integers and numbers of other libraries, such as NumPy's, become int and float; an iterator
    becomes a list. Missing and unknown arguments remain Python's own TypeError.
    """
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # raises it with the name of the function
        hints = _hints(function)
        for argument, value in given.arguments.items():
            if argument in hints:
                given.arguments[argument] = _checked(name, argument, value, hints[argument])
        return function(*given.args, **given.kwargs)

    return checked


def check_fields(instance: object) -> None:
    """Raises UsageError if a field of a dataclass has a wrong type. For `__post_init__`."""
    owner: Any = type(instance)
    for field, hint in _hints(owner).items():
        _checked(owner.__name__, field, getattr(instance, field), hint)


# Evaluated at the first call, because an annotation may name a type that is imported late.
@cache
def _hints(owner: Any) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(owner).items() if name != "return"}


def _checked(owner: str, name: str, value: Any, hint: Any) -> Any:
    """The value, converted if it is a number of another library or an iterator."""
    if _is_list(hint) and isinstance(value, Iterable) and not isinstance(value, Collection):
        value = [*value]
    if not _fits(value, hint):
        raise UsageError(f"Invalid {option(name, _shown(value))}: {owner} takes {_words(hint)}.")
    if isinstance(value, str | Path) and "\0" in str(value):
        raise UsageError(f"Invalid {option(name, _shown(value))}: it has a null character.")
    if isinstance(value, int | float):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return any(isinstance(value, type(each)) and value == each for each in inner)
    if origin is Callable:
        return callable(value)
    if _is_dict(hint):
        return isinstance(value, Mapping) and all(
            _fits(key, inner[0]) and _fits(item, inner[1]) for key, item in value.items()
        )
    if _is_list(hint):
        # A text is iterable too, but never meant as a list of its letters.
        if not isinstance(value, Collection) or isinstance(value, str | bytes | Mapping):
            return False
        if _has_fixed_length(hint):
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(_fits(item, inner[0]) for item in value)
    if hint in (int, float):
        kind = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool)
    return isinstance(value, hint)


def _is_dict(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_list(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Iterable) and not _is_dict(hint)


def _has_fixed_length(hint: Any) -> bool:
    return get_origin(hint) is tuple and get_args(hint)[-1] is not Ellipsis


def _words(hint: Any, *, item: bool = False) -> str:
    """What a hint accepts: "a str, a Path or None"; of an `item`, "str, Path or None"."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        words = [_words(each, item=item) for each in inner]
    elif origin is Literal:
        words = [repr(each) for each in inner]
    elif origin is Callable:
        words = ["a function"]
    elif _is_dict(hint):
        words = [f"a dict of {_words(inner[0], item=True)} to {_words(inner[1], item=True)}"]
    elif _has_fixed_length(hint):
        words = [f"a tuple ({', '.join(_words(each, item=True) for each in inner)})"]
    elif _is_list(hint):
        kind = "tuple" if origin is tuple else "list"
        words = [f"a {kind} of {_words(inner[0], item=True)}"]
    elif hint in _WORDS:
        words = [_WORDS[hint]]
    else:
        words = [f"a {type_name(hint)}"]
    if item:
        words = [each.removeprefix("a ").removeprefix("an ") for each in words]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _shown(value: object) -> str:
    if isinstance(value, _SHOWN):
        return plain(repr(value), _LONGEST)
    return f"<{type_name(type(value))}>"


def type_name(kind: type) -> str:
    """`mimic_ray.Recipe`, `torch.Tensor`: the package and the name, as users import them."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}".removeprefix("builtins.")
