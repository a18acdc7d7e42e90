"""A command line as a job: parsed once by the command itself, and rewritten for the cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.locations import absolute
from mimic_ray.base.resources import Resources
from mimic_ray.base.text import near_names, plain
from mimic_ray.cli.option_kinds import (
    FILES,
    Kind,
    Use,
    check_statistics,
    checked_value,
    kinds_of,
    label,
    values_of,
)
from mimic_ray.cli.worker_numbers import parse_worker_range
from mimic_ray.jobs.job_request import JobCommand, JobLocation

# The user's code, as in `my_parts.py:speckle`.
_USER_CODE = re.compile(r"""([^\s"'\[\]{},=]+\.py):([A-Za-z_]\w*)""")


def job_commands() -> list[str]:
    """The commands that can be sent: those with `CAN_BE_A_JOB` in their module."""
    from mimic_ray.cli.app import COMMANDS

    return [
        name
        for name, module in COMMANDS.items()
        if getattr(import_module(module), "CAN_BE_A_JOB", False)
    ]


def find_command(arguments: Sequence[str]) -> tuple[list[str], Any, list[str]]:
    """The name of a command (`attack badencoder`, split), the command, and its arguments."""
    from mimic_ray.cli.app import LazyGroup

    name, *rest = arguments
    known = job_commands()
    if name not in known:
        near = near_names(name, known)
        raise UnknownNameError("command for a job", name, near, f"Known: {', '.join(known)}.")
    command, path = LazyGroup().get_command(None, name), [name]
    if parts := getattr(command, "commands", {}):
        part, *rest = rest or [""]
        if part not in parts:
            raise UnknownNameError(
                f"mimic-ray {name}", part, near_names(part, parts), f"See mimic-ray {name} --help."
            )
        command, path = parts[part], [name, part]
    return path, command, rest


def job_command(
    arguments: Sequence[str],
    *,
    workers: str | None = None,
    cpus_per_worker: int = 0,
    gpus_per_worker: float = 0,
) -> JobCommand:
    """The job of `["purify", "--encoder", ...]`; the other arguments are the options of `submit`.

    Raises UsageError, or typer's errors, for a command line that the command would refuse.
    """
    path, command, rest = find_command(arguments)
    context = command.make_context(f"mimic-ray {' '.join(path)}", rest)
    check_statistics(context.params)
    line = _CommandLine(command, context)
    line.refuse_what_a_job_sets()
    if workers and not line.option(Kind.WORKERS):
        raise UsageError(f"{' '.join(path)} takes no --workers: remove it.")
    fewest, most = parse_worker_range(str(line.agreed(Kind.WORKERS, workers) or 1))
    resources = Resources(
        workers=most,
        min_workers=fewest,
        cpus_per_worker=line.agreed(Kind.CPUS_PER_WORKER, cpus_per_worker or None) or 0,
        gpus_per_worker=line.agreed(Kind.GPUS_PER_WORKER, gpus_per_worker or None),
    )
    spreads = Kind.ADDRESS in line.kinds.values()
    words = line.rewritten()
    if spreads:
        words += line.placed(
            {
                Kind.WORKERS: workers,
                Kind.GPUS_PER_WORKER: gpus_per_worker,
                Kind.CPUS_PER_WORKER: cpus_per_worker,
            }
        )
    waits = Kind.CAPACITY_TIMEOUT in line.kinds.values() and not line.is_given(
        Kind.CAPACITY_TIMEOUT
    )
    return JobCommand(
        words=[*path, *words],
        locations=line.locations,
        files=line.files,
        resources=resources,
        spreads=spreads,
        capacity_option=line.option(Kind.CAPACITY_TIMEOUT) if waits else "",
        check=_check_of(path, context, resources),
    )


def _check_of(path: Sequence[str], context: Any, resources: Resources) -> Callable[[bool], None]:
    """`check_before_sending(context, resources, sees_paths)` of the command's module, if it has
    one."""
    from mimic_ray.cli.app import COMMANDS

    check = getattr(import_module(COMMANDS[path[0]]), "check_before_sending", None)
    if check is None:
        return lambda sees_paths: None
    return partial(check, context, resources)


def _text(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class _CommandLine:
    """A parsed command line: the click command, and the context with its values."""

    def __init__(self, command: Any, context: Any) -> None:
        self.command, self.context = command, context
        self.kinds = kinds_of(command)
        self.locations: list[JobLocation] = []
        self.files: dict[str, Path] = {}

    def rewritten(self) -> list[str]:
        """The given options with absolute paths. Adds to `locations` and `files`."""
        options: list[str] = []
        arguments: list[str] = []
        for parameter, given in self._given():
            if getattr(parameter, "is_flag", False):
                options.append((parameter.opts if given else parameter.secondary_opts)[0])
                continue
            for text in values_of(given):
                word = self._on_the_cluster(parameter, text)
                if parameter.param_type_name == "argument":
                    arguments.append(word)
                elif word.startswith("-"):
                    options.append(f"{label(parameter)}={word}")
                else:
                    options += [label(parameter), word]
        if any(word.startswith("-") for word in arguments):
            arguments.insert(0, "--")
        # The settings of an attack are not parameters of the command; see attack_command.py.
        return options + self.context.args + arguments

    def refuse_what_a_job_sets(self) -> None:
        """Raises UsageError for --local, and for --address of the command itself."""
        for parameter, given in self._given():
            kind = self.kinds.get(parameter.name)
            if kind is Kind.NOT_IN_A_JOB and given:
                raise UsageError(f"A job cannot use {label(parameter)}: remove it.")
            if kind is Kind.ADDRESS:
                raise UsageError(
                    f"A job runs on the cluster that it is sent to: set {label(parameter)} "
                    "before the --."
                )

    def agreed(self, kind: Kind, before: str | float | None) -> Any:
        """The value given to `submit` or to the command. Raises UsageError if they differ."""
        own = self._parameter(kind)
        after = self.context.params.get(own.name) if own is not None else None
        if before is None or not self.is_given(kind):
            return after if before is None else before
        if before != after and str(before) != str(after):
            raise UsageError(
                f"{label(own)} is {_text(before)} before the -- and {after} after it: set it once."
            )
        return before

    def placed(self, before: Mapping[Kind, str | float | None]) -> list[str]:
        """The cluster, and what was given to `submit` only. Raises typer's error for a value that
        the command would refuse."""
        words = [self.option(Kind.ADDRESS), "auto"]
        for kind, value in before.items():
            if value and not self.is_given(kind):
                words += [self.option(kind), _text(value)]
                self._parameter(kind).process_value(self.context, _text(value))
        return words

    def is_given(self, kind: Kind) -> bool:
        return any(self.kinds.get(parameter.name) is kind for parameter, _ in self._given())

    def option(self, kind: Kind) -> str:
        """`--workers`, or "" if the command has no such option."""
        found = self._parameter(kind)
        return "" if found is None else label(found)

    def _parameter(self, kind: Kind) -> Any:
        return next((p for p in self.command.params if self.kinds.get(p.name) is kind), None)

    def _given(self) -> Iterator[tuple[Any, Any]]:
        """The parameters set on the command line, not by defaults or RAY_ADDRESS."""
        for parameter in self.command.params:
            source = self.context.get_parameter_source(parameter.name)
            if source is not None and source.name == "COMMANDLINE":
                yield parameter, self.context.params[parameter.name]

    def _on_the_cluster(self, parameter: Any, text: str) -> str:
        kind, name = self.kinds.get(parameter.name), label(parameter)
        if kind is None:
            return self._with_user_code(name, text)
        value = checked_value(name, kind, text)
        match value.use:
            case Use.WORD:
                return self._with_user_code(name, text)
            case Use.UPLOAD:
                path = Path(value.path).expanduser()
                uploaded = self._upload(name, path)
                if kind is Kind.RECIPE:
                    self._add_user_code_of_recipe(path)
                return value.with_path(uploaded)
            case _:
                location = absolute(value.path)
                is_output, is_file = value.use is Use.OUTPUT, kind in FILES
                self.locations.append(JobLocation(name, location, is_output, is_file))
                return value.with_path(location)

    def _with_user_code(self, name: str, text: str) -> str:
        """`text` with each `folder/file.py:object` as `file.py:object`, whose file is uploaded."""

        def without_folder(found: re.Match[str]) -> str:
            return f"{self._upload(name, Path(found[1]).expanduser())}:{found[2]}"

        return _USER_CODE.sub(without_folder, text)

    def _add_user_code_of_recipe(self, recipe: Path) -> None:
        """Uploads the files that a recipe names as `file.py:object`."""
        for path, _ in _USER_CODE.findall(recipe.read_text(encoding="utf-8-sig")):
            if Path(path).name != path:
                raise UsageError(
                    f"{plain(recipe)} names {plain(path)}, but a job has all files in one folder: "
                    f"write {Path(path).name} and submit from the folder of that file."
                )
            self._upload(str(recipe), Path(path))

    def _upload(self, name: str, path: Path) -> str:
        """Adds a file to the upload; returns its name in the job's working folder."""
        if not path.is_file():
            raise UsageError(f"{name}: {plain(path)} does not exist, but the job needs it.")
        if self.files.setdefault(path.name, path) != path:
            raise UsageError(f"The job needs two files called {path.name}: rename one.")
        return path.name
