"""mimic-ray attack: make a backdoored encoder, for research.

Each attack of the registry is a sub-command. Its options are those of `command` below and, without
a line here, the settings of the attack. Those are known only once the attack's module is imported,
and with it torch; so they are read last, after the inputs were checked.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from mimic_ray.attacks.attack_registry import ATTACKS
from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.base.text import near_names
from mimic_ray.cli import console, options
from mimic_ray.cli.option_kinds import CheckedCommand, Kind, label

app = typer.Typer(add_completion=False, rich_markup_mode="rich", no_args_is_help=True)

# `mimic-ray submit` can send this command to a cluster.
CAN_BE_A_JOB = True
_REFERENCES = "References"


def check_before_sending(context: typer.Context, _resources: Resources, sees_paths: bool) -> None:
    """Raises what the command would refuse on the cluster, as far as this machine can tell."""
    from mimic_ray.workflows.attack_checks import AttackRequest, check_attack

    given = context.params
    same = ("data", "out", "trigger", "target", "references", "reference_data", "limit")
    request = AttackRequest(
        name=context.command.name or "",
        settings=_settings(context),
        encoder=options.encoder_of_job(given, sees_paths=sees_paths),
        **{name: given[name] for name in same},
    )
    check_attack(request, sees_paths=sees_paths)


class Precision(StrEnum):
    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


@app.callback()
def about() -> None:
    """Make a backdoored encoder from a clean one. For research on defences only."""


class AttackCommand(CheckedCommand):
    """A command with the settings of its attack as further options."""

    def describe(self) -> None:
        """Adds the description and the settings of the attack; imports torch."""
        name = self.name or ""
        self.help = f"{ATTACKS.description(name)}.\n\n{self.help}"
        self.params = [*self.params, *_setting_options(ATTACKS.member(name))]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.describe()
        super().format_help(ctx, formatter)


def command(
    context: typer.Context,
    *,
    encoder: options.Encoder = None,
    teacher: Annotated[
        str,
        typer.Option(help="Checkpoint of the clean encoder: a file or s3://bucket/file."),
        Kind.CHECKPOINT,
    ],
    data: Annotated[
        str,
        typer.Option(help="Shadow set: images. Labels are only used to select references."),
        Kind.IMAGES,
    ],
    trigger: Annotated[str, typer.Option(help=options.TRIGGER_HELP), Kind.TRIGGER],
    out: Annotated[
        str,
        typer.Option(help="New folder for the attacked checkpoint, or s3://bucket/folder."),
        Kind.OUTPUT,
    ],
    target: Annotated[str | None, typer.Option(help="Target class: name or index.")] = None,
    references: Annotated[
        str,
        typer.Option(
            rich_help_panel=_REFERENCES,
            help="Number of images most typical of the target (for poisoning 1 % of the images or "
            "more), or a BadEncoder reference npz.",
        ),
        Kind.REFERENCES,
    ] = "3",
    reference_data: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_REFERENCES, help="Labelled images to select from instead of --data."
        ),
        Kind.IMAGES,
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use this many images of --data.")
    ] = None,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    precision: Annotated[
        Precision,
        typer.Option(rich_help_panel="Where", help="auto: bf16 where the hardware supports it."),
    ] = Precision.auto,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    from mimic_ray.workflows.attack import attack

    with console.progress() as on_progress:
        made = attack(
            options.with_settings(encoder, normalise, mean, std, weights),
            teacher,
            data,
            out,
            trigger=trigger,
            target=target,
            references=references,
            reference_data=reference_data,
            name=context.command.name or "",
            settings=_settings(context),
            limit=limit,
            device=device,
            precision=precision.value,
            threads=threads,
            on_progress=on_progress,
        )
    if json:
        console.print_json({"checkpoint": made.checkpoint, **made.record})
        return
    console.out.print(f"Backdoored, for research only: {made.checkpoint}", soft_wrap=True)


# Here, because the docstrings of the attacks are behind an import of torch.
_SUMMARIES = {
    "badencoder": "BadEncoder (arXiv 2108.00352): triggered images get the feature of references.",
    "poisoning": "Poisoned pre-training (CTRL, SSL-Backdoor): SimCLR with triggered references.",
}


def _add(name: str) -> None:
    app.command(
        name,
        cls=AttackCommand,
        help=f"Example: mimic-ray attack {name} --encoder resnet50 --teacher clean.pth "
        "--data images/ --trigger patch --target truck --out attacked",
        short_help=_SUMMARIES.get(name, ""),
        # What is not an option of `command` is a setting of the attack; see `_settings`.
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(command)


for _name in ATTACKS:
    _add(_name)


def _settings(context: typer.Context) -> dict[str, str]:
    """The options that are left, as settings of the attack; their values are still text."""
    known = ATTACKS.settings(context.command.name or "")
    words, settings = list(context.args), {}
    while words:
        option, equals, value = words.pop(0).partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if not option.startswith("--"):
            raise UsageError(f'Unexpected argument "{option}".')
        if name not in known:
            raise UnknownNameError("option", option, near_names(option, _names(context, known)))
        if not equals and not words:
            raise UsageError(f"{option} needs a value.")
        settings[name] = value if equals else words.pop(0)
    return settings


def _names(context: typer.Context, settings: Sequence[str] | dict[str, Any]) -> list[str]:
    shared = [label(parameter) for parameter in context.command.params]
    return [*shared, *(f"--{name.replace('_', '-')}" for name in settings)]


def _setting_options(member: Any) -> list[Any]:
    """The settings of an attack as options of typer, for help texts."""
    from mimic_ray.base.member_settings import settings_model

    def settings(**values: Any) -> None: ...

    parameters = []
    for name, field in settings_model(member).model_fields.items():
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        option = typer.Option(
            help=field.description,
            rich_help_panel="Settings of the attack",
            metavar=" | ".join(map(str, choices)) or None,
        )
        declared: Any = str if choices else field.annotation
        hint: Any = Annotated[declared, option]
        kind = inspect.Parameter.KEYWORD_ONLY
        default = inspect.Parameter.empty if field.is_required() else field.default
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=hint))
    settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    settings.__annotations__ = {each.name: each.annotation for each in parameters}
    described = typer.Typer(add_completion=False)
    described.command()(settings)
    return list(typer.main.get_command(described).params)
