"""What the value of an option means, marked once where the option is declared.

    Data = Annotated[str, typer.Option(help="Clean images."), Kind.IMAGES]

From the marks follow two things: inputs are checked before a command imports torch
(`CheckedCommand`), and `submit` knows what a command line needs on a cluster (`job_command.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, get_args, get_type_hints

from typer.core import TyperCommand

from mimic_ray.attacks.triggers.trigger_registry import split_settings
from mimic_ray.base.errors import DataError, MimicError, NotACheckpointError, UsageError
from mimic_ray.base.locations import is_missing
from mimic_ray.base.storage_address import is_remote, parse
from mimic_ray.base.text import plain
from mimic_ray.base.user_code import is_user_code


class Kind(Enum):
    """The meaning of an option's value. Options without a mark are plain words and numbers."""

    CHECKPOINT = auto()  # a file, or its address
    CHECKPOINT_OR_RUN = auto()
    NAMED_CHECKPOINT = auto()  # NAME=PATH of a file or run, or the path alone
    IMAGES = auto()  # whatever data.image_source.open_images takes
    TRIGGER = auto()  # a name or file.py:function, with settings perhaps, or an npz file
    REFERENCES = auto()  # a number, or a file of images
    OUTPUT = auto()  # a folder to make, or its address
    RECIPE = auto()  # a name, or a TOML file, which travels with a job
    ENCODER = auto()  # a name, or file.py:function, whose file travels with a job
    # Set by `submit` as well.
    WORKERS = auto()
    CPUS_PER_WORKER = auto()
    GPUS_PER_WORKER = auto()
    CAPACITY_TIMEOUT = auto()
    # Set by the job alone: the cluster that it runs on.
    ADDRESS = auto()
    # Makes no sense in a job.
    NOT_IN_A_JOB = auto()


# Where only one file will do.
FILES = (Kind.CHECKPOINT, Kind.TRIGGER, Kind.REFERENCES, Kind.RECIPE)


class Use(Enum):
    WORD = auto()  # no path in it
    INPUT = auto()  # must exist where the command runs
    OUTPUT = auto()
    TRAVELS = auto()  # a small local file that a job takes along


@dataclass(frozen=True)
class Value:
    """One value in three parts, of which the middle one is the path or address."""

    use: Use
    path: str = ""
    before: str = ""
    after: str = ""

    def with_path(self, path: str) -> str:
        return f"{self.before}{path}{self.after}"


def read_value(kind: Kind, text: str) -> Value:
    """Where the path is in a value of that kind. Raises UsageError for one without a name."""
    word = Value(Use.WORD, before=text)
    match kind:
        case Kind.CHECKPOINT | Kind.CHECKPOINT_OR_RUN | Kind.IMAGES:
            return Value(Use.INPUT, text)
        case Kind.OUTPUT:
            return Value(Use.OUTPUT, text)
        case Kind.NAMED_CHECKPOINT:
            name, path = split_name(text)
            return Value(Use.INPUT, path, before=f"{name}=")
        case Kind.TRIGGER:
            if text.endswith(".npz"):
                return Value(Use.INPUT, text)
            name, _ = split_settings(text)
            path = name.rpartition(":")[0]
            return Value(Use.TRAVELS, path, after=text[len(path) :]) if is_user_code(name) else word
        case Kind.REFERENCES:
            return word if text.isdecimal() else Value(Use.INPUT, text)
        case Kind.RECIPE:
            if is_remote(text):
                return Value(Use.INPUT, text)
            return Value(Use.TRAVELS, text) if text.endswith(".toml") or "/" in text else word
        case Kind.ENCODER:
            path, colon, function = text.rpartition(":")
            return Value(Use.TRAVELS, path, after=colon + function) if is_user_code(text) else word
        case _:
            return word


def split_name(text: str) -> tuple[str, str]:
    """`NAME=PATH` as name and path; a path alone is named after its last part."""
    name, equals, path = text.partition("=")
    if not equals or "://" in name:  # an address may hold "=" in its settings
        name, path = text.partition("?")[0].rstrip("/").rpartition("/")[2], text
    if not name or not path:
        raise UsageError(f'"{plain(text)}" must be NAME=PATH.')
    return name, path


def kinds_of(command: Any) -> dict[str, Kind]:
    """Parameter name -> kind, for the marked parameters of a typer command."""
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    marks = {
        name: [m for m in get_args(hint) if isinstance(m, Kind)] for name, hint in hints.items()
    }
    return {name: found[0] for name, found in marks.items() if found}


def texts_of(value: Any) -> list[str]:
    """The one or more values of a parameter; none where it was left out."""
    if value is None:
        return []
    return [str(each) for each in (value if isinstance(value, list | tuple) else [value])]


class CheckedCommand(TyperCommand):
    """A command that refuses empty, misspelt and missing inputs before it imports anything."""

    def invoke(self, ctx: Any) -> Any:
        for name, kind, text in _marked_values(self, ctx.params):
            _check(name, kind, text)
        return super().invoke(ctx)


def _marked_values(command: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, Kind, str]]:
    kinds = kinds_of(command)
    for parameter in command.params:
        if kind := kinds.get(parameter.name):
            for text in texts_of(values.get(parameter.name)):
                yield label(parameter), kind, text


def label(parameter: Any) -> str:
    """`--data`, or `FILE` for an argument: how a message calls the parameter."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper()).removesuffix("...")
    return next((word for word in parameter.opts if word.startswith("--")), parameter.opts[0])


# The class of error that the library raises for the same mistake.
_MISSING: dict[Kind, type[MimicError]] = {
    Kind.CHECKPOINT: NotACheckpointError,
    Kind.CHECKPOINT_OR_RUN: NotACheckpointError,
    Kind.NAMED_CHECKPOINT: NotACheckpointError,
}


def _check(name: str, kind: Kind, text: str) -> None:
    value = checked_value(name, kind, text)
    if value.use in (Use.INPUT, Use.TRAVELS) and is_missing(value.path):
        error = UsageError if value.use is Use.TRAVELS else _MISSING.get(kind, DataError)
        raise error(f"{name}: {plain(value.path)} does not exist.")


def checked_value(name: str, kind: Kind, text: str) -> Value:
    """Like `read_value`. Raises UsageError for an empty value and for an address that cannot be."""
    if not text.strip():
        raise UsageError(f"{name} is empty.")
    value = read_value(kind, text)
    if value.use is not Use.WORD:
        parse(value.path)
    return value
