"""The `mimic-ray` command: a table of sub-commands, each imported on use."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mimic_ray.base.errors import UnknownNameError, UsageError
from mimic_ray.base.text import near_names, plain
from mimic_ray.cli import console
from mimic_ray.cli.option_kinds import CheckedCommand

# name -> module with a function `command`, in the order of `--help`.
COMMANDS = {
    "demo": "mimic_ray.cli.demo_command",
    "inspect": "mimic_ray.cli.inspect_command",
    "encoders": "mimic_ray.cli.encoders_command",
    "scan": "mimic_ray.cli.scan_command",
    "purify": "mimic_ray.cli.purify_command",
    "profile": "mimic_ray.cli.profile_command",
    "tune": "mimic_ray.cli.tune_command",
    "evaluate": "mimic_ray.cli.evaluate_command",
    "compare": "mimic_ray.cli.compare_command",
    "attack": "mimic_ray.cli.attack_command",
    "shards": "mimic_ray.cli.shards_command",
    "plan": "mimic_ray.cli.plan_command",
    "submit": "mimic_ray.cli.submit_command",
    "status": "mimic_ray.cli.status_command",
    "logs": "mimic_ray.cli.logs_command",
    "stop": "mimic_ray.cli.stop_command",
    "list": "mimic_ray.cli.list_command",
    "cluster": "mimic_ray.cli.cluster_command",
    "bench": "mimic_ray.cli.bench_command",
}


class LazyGroup(TyperGroup):
    """Imports a command's module when the command is used, so that `--help` stays fast."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = near_names(args[0], COMMANDS)
            raise UnknownNameError("command", args[0], near, "See mimic-ray --help.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with console.quiet_exit():
            return super().invoke(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's
        if cmd_name not in COMMANDS:
            return None
        module = import_module(COMMANDS[cmd_name])
        if hasattr(module, "app"):  # a command with sub-commands
            built: Any = typer.main.get_group(module.app)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode="rich")
            settings = getattr(module, "CONTEXT", None)
            single.command(name=cmd_name, cls=CheckedCommand, context_settings=settings)(
                module.command
            )
            built = typer.main.get_command(single)
        built.name = cmd_name
        for each in (built, *getattr(built, "commands", {}).values()):
            each.help = each.help and _paragraphs(each.help)
        return built


def _paragraphs(text: str) -> str:
    """The text of a docstring without the line ends that fit its own width."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 failed; 2 wrong command, nothing was started; 130 Ctrl-C; of "
    "scan also 3 suspect, 4 cannot tell.",
)


def _show_version(requested: bool) -> None:
    if requested:
        from mimic_ray.base.package import __version__

        typer.echo(f"mimic-ray {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the result: no progress, no notes.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - acts through its callback
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Weaken or remove backdoors in image encoders, with a suspect checkpoint and clean images."""
    console.mode.debug, console.mode.quiet = debug, quiet


def main(arguments: list[str] | None = None) -> None:
    """Runs a command line (that of the process if None) and raises SystemExit."""
    words = sys.argv[1:] if arguments is None else arguments
    with console.reported_errors(words):
        # Not standalone, because typer would print its own errors in another format.
        try:
            code = app(args=words, prog_name="mimic-ray", standalone_mode=False)
        except _TYPER_ERROR as error:
            raise UsageError(_usage_problem(error)) from None
        sys.exit(code if isinstance(code, int) else 0)


# Depending on its version, typer raises click's class or its own copy.
_TYPER_ERROR: Any = typer.BadParameter.__base__


def _usage_problem(error: Any) -> str:
    cause = error.__cause__
    if hasattr(cause, "errors"):  # newer versions of typer check values with pydantic
        from mimic_ray.base.member_settings import in_words

        problem = cause.errors()[0]
        own = problem["type"] == "value_error"  # typer's sentence, which has the value
        words = str(problem["ctx"]["error"]) if own else in_words(problem)
        error.message = words if own else f"'{plain(problem['input'])}' {words}"
    problem = error.format_message().strip().rstrip(".").replace("\n", " ")
    if not problem:  # a group without a sub-command, whose help has just been printed
        problem = "The command is incomplete"
    return f"{problem}. See {error.ctx.command_path if error.ctx else 'mimic-ray'} --help."
