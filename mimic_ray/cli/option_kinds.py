"""The meaning of an option's value, marked once where the option is declared.

    Data = Annotated[str, typer.Option(help="Clean images."), Kind.IMAGES]

The marks have two uses: inputs are checked before a command imports torch (`CheckedCommand`), and
`submit` knows the inputs, outputs and resources of a command line (`command_as_job.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, get_args, get_type_hints

from typer.core import TyperCommand

from mimic_ray.attacks.triggers.trigger_registry import split_settings
from mimic_ray.base.errors import (
    MissingCheckpointError,
    MissingDataError,
    UsageError,
)
from mimic_ray.base.hub_address import download_advice, is_hub, parse_hub
from mimic_ray.base.locations import is_missing
from mimic_ray.base.storage_address import is_remote, parse
from mimic_ray.base.text import plain
from mimic_ray.base.user_code import is_user_code
from mimic_ray.encoders import encoder_name
from mimic_ray.evaluation.head_choice import is_head_file
from mimic_ray.report.table_files import require_table_file


class Kind(Enum):
    """The meaning of an option's value. Values without a mark are plain texts and numbers."""

    CHECKPOINT = auto()  # a file, or its address
    CHECKPOINT_OR_RUN = auto()
    NAMED_CHECKPOINT = auto()  # NAME=PATH of a file or run, or the path alone
    HEAD = auto()  # a kind of head, or the file of a classifier, or its address
    IMAGES = auto()  # any location that data.image_source.open_images accepts
    TRIGGER = auto()  # a name or file.py:function, optionally with settings, or an npz file
    DEFENCE = auto()  # a name or file.py:function, optionally with settings
    REFERENCES = auto()  # a number, or a file of images
    OUTPUT = auto()  # a folder to create, or its address
    TABLE = auto()  # a file of this machine that gets the printed table
    RECIPE = auto()  # a name, or a TOML file, which is uploaded with a job
    ENCODER = auto()  # a name, or file.py:function, whose file is uploaded with a job
    # Can also be set by `submit`.
    WORKERS = auto()
    CPUS_PER_WORKER = auto()
    GPUS_PER_WORKER = auto()
    CAPACITY_TIMEOUT = auto()
    # Set only by the job: the cluster that it runs on.
    ADDRESS = auto()
    # Has no meaning in a job.
    NOT_IN_A_JOB = auto()


# Kinds whose value is a single file.
FILES = (Kind.CHECKPOINT, Kind.HEAD, Kind.TRIGGER, Kind.REFERENCES, Kind.RECIPE)


class Use(Enum):
    WORD = auto()  # contains no path
    INPUT = auto()  # must exist where the command runs
    OUTPUT = auto()
    UPLOAD = auto()  # a small local file that is uploaded with a job


@dataclass(frozen=True)
class Value:
    """A value split into the text before, the path or address, and the text after."""

    use: Use
    path: str = ""
    before: str = ""
    after: str = ""

    def with_path(self, path: str) -> str:
        return f"{self.before}{path}{self.after}"


def read_value(kind: Kind, text: str) -> Value:
    """Finds the path in a value. Raises UsageError for a NAME=PATH without a name."""
    word = Value(Use.WORD, before=text)
    match kind:
        case Kind.CHECKPOINT | Kind.CHECKPOINT_OR_RUN | Kind.IMAGES:
            return Value(Use.INPUT, text)
        case Kind.OUTPUT:
            return Value(Use.OUTPUT, text)
        case Kind.NAMED_CHECKPOINT:
            name, path = split_name(text)
            return Value(Use.INPUT, path, before=f"{name}=")
        case Kind.TRIGGER | Kind.DEFENCE:
            if kind is Kind.TRIGGER and text.endswith(".npz"):
                return Value(Use.INPUT, text)
            name, _ = split_settings(text, kind.name.lower())
            path = name.rpartition(":")[0]
            return Value(Use.UPLOAD, path, after=text[len(path) :]) if is_user_code(name) else word
        case Kind.HEAD:
            return Value(Use.INPUT, text) if is_head_file(text) else word
        case Kind.REFERENCES:
            return word if text.isdecimal() else Value(Use.INPUT, text)
        case Kind.RECIPE:
            if is_remote(text):
                return Value(Use.INPUT, text)
            return Value(Use.UPLOAD, text) if text.endswith(".toml") or "/" in text else word
        case Kind.ENCODER:
            path, colon, function = text.rpartition(":")
            return Value(Use.UPLOAD, path, after=colon + function) if is_user_code(text) else word
        case _:
            return word


def split_name(text: str) -> tuple[str, str]:
    """Splits `NAME=PATH` into name and path; a plain path is named after its last part."""
    name, equals, path = text.partition("=")
    if not equals or "://" in name:  # the settings of an address may contain "="
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


def values_of(value: Any) -> list[str]:
    """The values of a parameter as a list, empty if it was not given."""
    if value is None:
        return []
    return [str(each) for each in (value if isinstance(value, list | tuple) else [value])]


class CheckedCommand(TyperCommand):
    """A command that refuses empty, invalid and missing inputs before it imports anything."""

    def invoke(self, ctx: Any) -> Any:
        for name, kind, text in _marked_values(self, ctx.params):
            _check(name, kind, text)
        check_statistics(ctx.params)
        return super().invoke(ctx)


def check_statistics(values: Mapping[str, Any]) -> None:
    """Raises UsageError for invalid statistics of the encoder's input, in the values of a command
    that takes them."""
    normalise, mean, std = (values.get(name) for name in ("normalise", "mean", "std"))
    chosen = encoder_name.statistics(normalise, mean, std)
    encoder_name.joined(values.get("encoder"), chosen, values.get("weights"))


def _marked_values(command: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, Kind, str]]:
    kinds = kinds_of(command)
    for parameter in command.params:
        if kind := kinds.get(parameter.name):
            for text in values_of(values.get(parameter.name)):
                yield label(parameter), kind, text


def label(parameter: Any) -> str:
    """The name of a parameter in messages: `--data`, or `FILE` for an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper()).removesuffix("...")
    return next((word for word in parameter.opts if word.startswith("--")), parameter.opts[0])


# The error class that the library raises for the same problem.
_MISSING: dict[Kind, type[UsageError]] = {
    Kind.CHECKPOINT: MissingCheckpointError,
    Kind.CHECKPOINT_OR_RUN: MissingCheckpointError,
    Kind.NAMED_CHECKPOINT: MissingCheckpointError,
    Kind.HEAD: MissingCheckpointError,
}


def _check(name: str, kind: Kind, text: str) -> None:
    value = checked_value(name, kind, text)
    if kind is Kind.TABLE:
        require_table_file(text)
    if value.use in (Use.INPUT, Use.UPLOAD) and is_missing(value.path):
        error = UsageError if value.use is Use.UPLOAD else _MISSING.get(kind, MissingDataError)
        advice = download_advice(value.path) if kind in _MISSING else ""
        raise error(f"{name}: {plain(value.path)} does not exist. {advice}".rstrip())


def checked_value(name: str, kind: Kind, text: str) -> Value:
    """Like `read_value`. Also raises UsageError for an empty value and an invalid address."""
    if not text.strip():
        raise UsageError(f"{name} is empty.")
    value = read_value(kind, text)
    if kind in _MISSING and is_hub(value.path):
        parse_hub(value.path)
    elif value.use is not Use.WORD:
        parse(value.path)
    return value
