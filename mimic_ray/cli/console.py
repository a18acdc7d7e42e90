"""What a command prints and how it ends: results on stdout, everything else on stderr.

Every error is one sentence on stderr and an exit code (`base/errors.py` lists them); with `--json`
it is also an object on stdout, {"error": {"kind", "message", "exit_code"}}.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from rich.console import Console
from rich.markup import escape

from mimic_ray.base.errors import INTERRUPTED, MimicError
from mimic_ray.base.progress import ProgressCallback, ignore_progress


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process with 1; see end_quietly.
        raise BrokenPipeError


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)


@dataclass
class Mode:
    """How this command line wants its output."""

    debug: bool = False  # tracebacks
    quiet: bool = False  # neither progress nor notes
    json: bool = False  # errors as an object on stdout too
    command: str = ""  # the command line itself


mode = Mode()


def note(text: str) -> None:
    """Prints a line that is not part of the result; `--quiet` suppresses it."""
    if not mode.quiet:
        err.print(text, markup=False, soft_wrap=True)


def draws_progress() -> bool:
    """Whether stderr is a terminal, so that progress can be drawn and redrawn."""
    return err.is_terminal and not mode.quiet


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """Yields the `on_progress` of a command: bars on a terminal, lines in a job, else nothing."""
    from mimic_ray.report.progress_display import progress_bars, progress_lines

    if mode.quiet:
        yield ignore_progress
    elif draws_progress():
        with progress_bars(err) as on_progress:
            yield on_progress
    else:
        # Set in jobs, see workflows/submit.py.
        yield progress_lines(err, float(os.environ.get("MIMIC_RAY_PROGRESS_S") or "inf"))


def print_json(content: Any) -> None:
    """The result for programs, alone on stdout."""
    mode.json = False  # an error after this must not add a second object
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
    sys.stdout.flush()  # a reader that has gone shows here, not when Python ends


@contextmanager
def end_quietly() -> Iterator[None]:
    """Ctrl-C ends with a sentence, a closed stdout (`| head -1`) with no error.

    Around the command itself, since typer has its own answers to both: a silent 130 and a 1.
    """
    try:
        yield
    except KeyboardInterrupt:
        _fail("KeyboardInterrupt", "Stopped by Ctrl-C.", INTERRUPTED)
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@contextmanager
def errors_as_sentences(arguments: Sequence[str]) -> Iterator[None]:
    """Ends the process with the error's exit code and one sentence on stderr, never a traceback.

    With `--debug` the traceback comes first.
    """
    mode.debug, mode.quiet = False, False
    mode.command = shlex.join(["mimic-ray", *arguments])
    # Known before the command line is parsed, since parsing may fail. What follows "--" belongs to
    # the command that `submit` sends.
    mode.json = "--json" in takewhile(lambda word: word != "--", arguments)
    try:
        with end_quietly():
            yield
    except MimicError as error:
        if mode.debug:
            traceback.print_exc()
        _fail(type(error).__name__, error.for_command_line(), error.exit_code)
    except Exception as error:
        if mode.debug:
            raise
        _fail(
            type(error).__name__,
            f"Unexpected {type(error).__name__}: {error}. This is a bug in mimic-ray: run the same "
            "command with `mimic-ray --debug ...` and report what it prints.",
            1,
        )


def _fail(kind: str, sentence: str, code: int) -> None:
    err.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
    if mode.json:
        print_json({"error": {"kind": kind, "message": sentence, "exit_code": code}})
    sys.exit(code)
