"""Output and exit codes of commands: results on stdout, everything else on stderr.

An error is one sentence on stderr and an exit code (listed in `base/errors.py`). A stop that the
user asked for is one sentence without the word "error". With `--json` either is also an object on
stdout: {"error": {"kind", "message", "exit_code"}}.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from rich.console import Console
from rich.text import Text

from mimic_ray.base.assumptions import AssumptionWarning
from mimic_ray.base.errors import INTERRUPTED, MimicError, StoppedError, UsageError
from mimic_ray.base.progress import ProgressCallback, ignore_progress
from mimic_ray.base.text import plain


class _Console(Console):
    """Prints text as it is: a name of a file may look like markup or like the code of an emoji."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        # Rich would exit with 1; see quiet_exit.
        raise BrokenPipeError


_INTERVAL = "MIMIC_RAY_PROGRESS_S"

out = _Console()
err = _Console(stderr=True)


@dataclass
class Mode:
    """The output settings of this command line."""

    debug: bool = False  # tracebacks
    quiet: bool = False  # no progress and no notes
    json: bool = False  # errors also as an object on stdout
    command: str = ""  # the command line itself


mode = Mode()


def note(text: str) -> None:
    """Prints a line to stderr unless `--quiet` is set."""
    if not mode.quiet:
        err.print(text, soft_wrap=True)


class _Notes(logging.Handler):
    """What the library logs for its user, each sentence once: how images are read."""

    def __init__(self) -> None:
        super().__init__()
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._printed:
            self._printed.add(text)
            note(f"note: {text}")


@contextmanager
def _logged_notes() -> Iterator[None]:
    """Prints what the library logs, and nothing twice."""
    logger, handler = logging.getLogger("mimic_ray"), _Notes()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def is_interactive() -> bool:
    """Whether stderr is a terminal, so that progress can be redrawn."""
    return err.is_terminal and not mode.quiet


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """Yields the `on_progress` of a command: bars on a terminal, elsewhere lines on stderr."""
    from mimic_ray.report.progress_display import progress_bars, progress_lines

    if mode.quiet:
        yield ignore_progress
    elif is_interactive():
        with progress_bars(err) as on_progress:
            yield on_progress
    else:
        yield progress_lines(err, line_interval_s())


def line_interval_s() -> float:
    """Seconds between two lines of progress where there is no terminal; infinity for none.

    Raises UsageError.
    """
    from mimic_ray.report.progress_display import LINE_EVERY_S

    text = os.environ.get(_INTERVAL, "")
    try:
        seconds = float(text or LINE_EVERY_S)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UsageError(f'{_INTERVAL} is "{text}": set it to a number of seconds, or to inf.')
    return seconds


def print_json(content: Any) -> None:
    """Prints the result as JSON, the only output on stdout."""
    mode.json = False  # a later error must not add a second object
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")
    sys.stdout.flush()  # detects a closed pipe here, not at exit


@contextmanager
def quiet_exit() -> Iterator[None]:
    """Ends with a message on Ctrl-C, and without an error on a closed stdout (`| head -1`).

    Wraps the command itself, because typer would exit with a silent 130 and with 1.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end("KeyboardInterrupt", "Stopped by Ctrl-C.", INTERRUPTED, asked_for=True)
    except BrokenPipeError:
        # Python would report the closed pipe again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@contextmanager
def reported_errors(arguments: Sequence[str]) -> Iterator[None]:
    """Turns an error into one sentence on stderr and its exit code, without a traceback.

    With `--debug`, prints the traceback first.
    """
    mode.debug, mode.quiet = False, False
    mode.command = shlex.join(["mimic-ray", *arguments])
    # Set before the command line is parsed, because parsing may fail. Arguments after "--" belong
    # to the command that `submit` sends.
    mode.json = "--json" in takewhile(lambda word: word != "--", arguments)
    try:
        with quiet_exit(), _printed_assumptions(), _logged_notes():
            yield
    except MimicError as error:
        if mode.debug:
            traceback.print_exc()
        _end(
            type(error).__name__,
            error.for_command_line(),
            error.exit_code,
            asked_for=isinstance(error, StoppedError),
        )
    except OSError as error:
        if mode.debug:
            traceback.print_exc()
        _end(type(error).__name__, _refused_by_the_system(error), 1)
    except Exception as error:
        if mode.debug:
            raise
        _end(
            type(error).__name__,
            f"Unexpected {type(error).__name__}: {error}. This is a bug in mimic-ray: run the same "
            "command with `mimic-ray --debug ...` and report what it prints.",
            1,
        )


def _refused_by_the_system(error: OSError) -> str:
    """A sentence about a file, a connection or a process that the operating system refused."""
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    where = f"{plain(error.filename)}: " if error.filename is not None else ""
    return f"{where}{reason}. {_ADVICE.get(error.errno or 0, _OTHER_ADVICE)}"


_OTHER_ADVICE = "The operating system refused this; `mimic-ray --debug ...` shows where."
_PERMISSION = (
    "This user may not do that: check the owner and the permissions of the file and its folder, or "
    "use another path."
)
_ADVICE = {
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: "Use a path on a disk that can be written.",
    errno.ENOENT: "It was moved or deleted while the command ran, or a program is not installed.",
    errno.ENAMETOOLONG: "Use a shorter path.",
    errno.EMFILE: "Raise the limit of open files: `ulimit -n 4096`.",
    errno.ENOMEM: "The machine or the container has too little memory: end other programs or raise "
    "the limit.",
    errno.EAGAIN: "The limit of processes is reached: raise it with `ulimit -u`.",
}


@contextmanager
def _printed_assumptions() -> Iterator[None]:
    """Prints each assumption once, as a note."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_or_note(message: Any, category: type[Warning], *others: Any) -> None:
            if not issubclass(category, AssumptionWarning):
                show(message, category, *others)
            elif str(message) not in printed:
                printed.add(str(message))
                note(f"note: {message}")

        warnings.showwarning = show_or_note  # type: ignore[assignment]
        warnings.simplefilter("always", AssumptionWarning)
        yield


def _end(kind: str, sentence: str, code: int, *, asked_for: bool = False) -> None:
    """Ends the process. What the user `asked_for`, a stop, is not called an error."""
    said = Text(sentence)
    if not asked_for:
        said = Text.assemble(("error: ", "bold red"), sentence)
    err.print(said, soft_wrap=True)
    if mode.json:
        print_json({"error": {"kind": kind, "message": sentence, "exit_code": code}})
    sys.exit(code)
