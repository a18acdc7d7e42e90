"""What a command prints and how it ends: one console, one sentence per error, one exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from mimic_ray.base.errors import MimicError


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process with 1; see ends_from_outside.
        raise BrokenPipeError


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)
debug = False  # set by `mimic-ray --debug`


@contextmanager
def ends_from_outside() -> Iterator[None]:
    """Ctrl-C is a sentence, a closed stdout (`| head -1`) no error.

    Around the command itself: typer has answers of its own to both, a silent 130 and a 1.
    """
    try:
        yield
    except KeyboardInterrupt:
        _fail("Stopped by Ctrl-C.", 130)
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Ends the process with the error's exit code and one sentence on stderr, never a traceback.

    With `--debug` the traceback comes first.
    """
    try:
        with ends_from_outside():
            yield
    except MimicError as error:
        if debug:
            traceback.print_exc()
        _fail(error.for_command_line(), error.exit_code)
    except Exception as error:
        if debug:
            raise
        _fail(
            f"Unexpected {type(error).__name__}: {error}. This is a fault of mimic-ray; "
            "run the same command with `mimic-ray --debug ...` and report what it prints.",
            1,
        )


def print_json(content: Any) -> None:
    """The machine-readable form of an answer, alone on stdout."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
    sys.stdout.flush()  # a reader that has gone shows here, not when Python ends


def _fail(sentence: str, code: int) -> None:
    err.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
    sys.exit(code)
