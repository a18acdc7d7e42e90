"""The commands of `mimic-ray`, and valid command lines for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mimic_ray.cli.app import COMMANDS, LazyGroup
from mimic_ray.cli.option_kinds import Kind, kinds_of, label

# Addresses, because they are not checked before a command starts.
VALID = {
    Kind.CHECKPOINT: "s3://b/t.pth",
    Kind.CHECKPOINT_OR_RUN: "s3://b/t.pth",
    Kind.NAMED_CHECKPOINT: "a=s3://b/t.pth",
    Kind.IMAGES: "s3://b/d",
    Kind.TRIGGER: "patch",
    Kind.OUTPUT: "s3://b/o",
    Kind.ENCODER: "vit_b16",
}


def all_commands(names: Sequence[str] = tuple(COMMANDS)) -> Iterator[tuple[str, Any]]:
    """Each command name, such as `attack badencoder`, with its click command."""
    for name in names:
        built = LazyGroup().get_command(None, name)
        parts = getattr(built, "commands", None)
        if parts is None:
            yield name, built
        else:
            yield from ((f"{name} {part}", command) for part, command in parts.items())


def marked_options(kinds: Sequence[Kind], names: Sequence[str] = tuple(COMMANDS)) -> list[Any]:
    """(command, parameter, kind) of every option that has one of the kinds."""
    return [
        (name, parameter, found[parameter.name])
        for name, command in all_commands(names)
        for found in [kinds_of(command)]
        for parameter in command.params
        if found.get(parameter.name) in kinds
    ]


def required(name: str) -> list[str]:
    """A command line with all required options."""
    command = dict(all_commands([name.partition(" ")[0]]))[name]
    kinds = kinds_of(command)
    words = name.split()
    for parameter in command.params:
        if parameter.required:
            value = VALID[kinds[parameter.name]]
            option = parameter.param_type_name == "option"
            words += [label(parameter), value] if option else [value]
    return words


def with_value(name: str, parameter: Any, value: str) -> list[str]:
    """That command line with `value` for `parameter`. The last of a repeated option counts."""
    if parameter.param_type_name == "option":
        return [*required(name), f"{label(parameter)}={value}"]
    if parameter.nargs == -1:
        return [*required(name), value]
    command = dict(all_commands([name.partition(" ")[0]]))[name]
    valid = VALID[kinds_of(command)[parameter.name]]
    return [value if word == valid else word for word in required(name)]
