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

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
debug = False  # set by `mimic-ray --debug`


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Ends the process with the error's exit code and one sentence on stderr, never a traceback.

    With `--debug` the traceback comes first. A closed stdout (`| head -1`) is no error.
    """
    try:
        yield
    except MimicError as error:
        if debug:
            traceback.print_exc()
        _fail(error.message, error.exit_code)
    except KeyboardInterrupt:
        _fail("Stopped by Ctrl-C.", 130)
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
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


def _fail(sentence: str, code: int) -> None:
    err.print(f"[bold red]error:[/] {escape(sentence)}", soft_wrap=True)
    sys.exit(code)
