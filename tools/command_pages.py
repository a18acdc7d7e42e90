"""Reference pages of the commands, made from what Typer shows as help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from mimic_ray.cli.app import COMMANDS, LazyGroup


def pages() -> Iterator[tuple[str, str]]:
    """The name and the Markdown text of a page for each command, in the order of `--help`."""
    for name in COMMANDS:
        command = LazyGroup().get_command(None, name)
        parts = _parts(command)
        lines = [f"# mimic-ray {name}", ""]
        if not parts:
            lines += _body(f"mimic-ray {name}", command)
        else:
            lines += [_inline(command.help), ""]
            for part, sub in parts.items():
                title = f"mimic-ray {name} {part}"
                lines += [f"## {title}", "", *_body(title, sub)]
        yield name, "\n".join(lines)


def overview() -> str:
    """A table of all commands."""
    rows = ["| command | what it does |", "|---|---|"]
    for name in COMMANDS:
        command = LazyGroup().get_command(None, name)
        rows.append(f"| [`{name}`]({name}.md) | {_summary(command)} |")
        for part, sub in _parts(command).items():
            anchor = f"{name}.md#mimic-ray-{name}-{part}"
            rows.append(f"| [`{name} {part}`]({anchor}) | {_summary(sub)} |")
    return "\n".join(rows) + "\n"


def _parts(command: Any) -> dict[str, Any]:
    """The sub-commands by name, with the options that some add only when help is shown."""
    parts = getattr(command, "commands", {})
    for part in parts.values():
        if hasattr(part, "describe"):
            part.describe()
    return dict(parts)


def _body(title: str, command: Any) -> list[str]:
    text, example = _split(command.help or "")
    lines = [_inline(text), "", "```console", f"$ {_usage(title, command)}", "```", ""]
    if example:
        lines += ["Example:", "", "```sh", example, "```", ""]
    for panel, options in _panels(command).items():
        lines += [f"**{panel}**", "", "| option | value | default | meaning |", "|---|---|---|---|"]
        lines += [_row(option) for option in options]
        lines.append("")
    return lines


def _split(help_text: str) -> tuple[str, str]:
    """The text and the example of a docstring that ends in `Example: COMMAND`."""
    text, _, example = inspect.cleandoc(help_text).partition("Example:")
    command = re.sub(r"\s*\\?\n\s*", " ", example.strip()).strip("`")
    return text.strip(), command


def _summary(command: Any) -> str:
    return _inline(_split(command.help or "")[0].split("\n\n")[0])


def _usage(title: str, command: Any) -> str:
    arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join([title, "[OPTIONS]", *arguments])


def _argument(parameter: Any) -> str:
    word = str(parameter.metavar or parameter.name.upper())
    return f"{word}..." if parameter.nargs == -1 and not word.endswith("...") else word


def _panels(command: Any) -> dict[str, list[Any]]:
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(
            parameter
        )
    return panels


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        names = f"`{_argument(parameter)}`"
    else:
        names = ", ".join(f"`{word}`" for word in [*parameter.opts, *parameter.secondary_opts])
    value = "" if getattr(parameter, "is_flag", False) else parameter.metavar or _kind(parameter)
    meaning = _inline(parameter.help or "")
    if parameter.envvar:
        meaning += f" Environment variable: `{parameter.envvar}`."
    return f"| {names} | {_cell(value)} | {_default(parameter)} | {meaning} |"


def _kind(parameter: Any) -> str:
    # Typer of today keeps type and bounds in the parameter, older ones in click's type.
    source = getattr(parameter, "type", parameter)
    if choices := getattr(getattr(parameter, "type_descriptor", source), "choices", None):
        return " | ".join(str(getattr(each, "value", each)) for each in choices)
    name = parameter.bare_type() if hasattr(parameter, "bare_type") else str(source.name)
    name = name.removeprefix("list[").removesuffix("]")
    word = {"str": "text", "Path": "path", "integer": "int"}
    word |= {"integer range": "int", "float range": "float"}
    name = word.get(name, name)
    lowest, highest = getattr(source, "min", None), getattr(source, "max", None)
    if lowest is not None and highest is not None:
        return f"{name}, {lowest} to {highest}"
    return f"{name}, at least {lowest}" if lowest is not None else name


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value is True and parameter.secondary_opts:
        return f"`{parameter.opts[0]}`"
    if callable(value) or value in (None, "", (), []) or value is False:
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _inline(text: str | None) -> str:
    """Help text as Markdown: one paragraph a blank line, `--option` and file.py:name as code."""
    paragraphs = inspect.cleandoc(text or "").split("\n\n")
    joined = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    joined = joined.replace("\\[", "[")  # Rich needs the backslash, Markdown does not
    joined = re.sub(r"(?<![`\w-])(--[a-z][\w-]*|file\.py:\w+)(?!`)", r"`\1`", joined)
    return _cell(joined.replace("<", "&lt;").replace("*", "\\*"))
