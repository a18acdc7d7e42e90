"""Every error that a user can meet, each one sentence that says how to fix it; exit codes.

    MimicError                  exit 1
    +-- UsageError              exit 2: the command line or the recipe is wrong
    |   +-- UnknownNameError    a name that does not exist, with similar ones
    |   +-- RecipeError         all mistakes in a recipe at once
    +-- CheckpointError         a weight file that cannot be used
    |   +-- NotACheckpointError     missing, empty, a web page, a git-lfs pointer ...
    |   +-- DamagedCheckpointError  truncated, failed checksum, NaN weights
    |   +-- UnsafeCheckpointError   holds code or lies about its size; never executed
    |   +-- TooLargeCheckpointError over the stated limit
    |   +-- WrongEncoderError       a good file, but for another encoder
    +-- DataError               images, labels, triggers or shards that cannot be used
    |   +-- BrokenImageError        one image of them; skipped up to a stated share
    +-- StorageError            object storage that refuses access or lacks a file
    |   +-- StorageAwayError        it cannot be reached or fails; retrying may help
    +-- RunFolderError          an output folder that is not empty, damaged or of another run
    +-- DiskError               a disk that fails or was removed
    |   +-- DiskFullError           no space left on the device
    +-- ResourceError           the machine or cluster lacks what was requested
    +-- TrainingError           the distillation failed: loss not finite, a worker died
    +-- StoppedError            exit 128 + signal: Ctrl-C or SIGTERM; checkpoints are kept

Exit codes of every command:

    0    done, also when a reader closes stdout early (`| head -1`)
    1    the work failed, or was refused because of what was found: files, images, storage,
         resources, problems reported by `shards verify` and `cluster validate`
    2    wrong use: the command line, a name, a setting or a recipe; nothing was started
    130  stopped by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP

Errors cross process boundaries (Ray, the checkpoint reader's child), so each can be pickled:
the constructor's arguments are kept in `args`.

A message names a setting with `option("workers")`, because the same error reaches Python callers
and users of the command line: `str(error)` says `workers=`, `error.for_command_line()` says
`--workers`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

INTERRUPTED = 128 + 2  # SIGINT

# Control characters, which cannot occur in text that passed base.text.plain: the first stands
# before a parameter's name, the other two after it, without and with a value behind it.
_BEFORE, _ALONE, _VALUE = "\x1d", "\x1e", "\x1f"
_MARKED = re.compile(f"{_BEFORE}([a-z_]+)([{_ALONE}{_VALUE}])(True\\b)?")
# Parameters whose command line option has another name.
_OPTION_NAMES = {
    "settings": "set",
    "trackers": "track",
    "capacity_timeout_s": "wait-for-capacity",
}


def option(name: str, value: object = None) -> str:
    """A parameter in the message of an error, with its value if one is given.

    `option("workers", 4)` reads `workers=4` in Python and `--workers 4` on the command line;
    a flag is named by `option("resume", True)`: `resume=True` and `--resume`.
    """
    return f"{_BEFORE}{name}" + (_ALONE if value is None else f"{_VALUE}{value}")


# What to do after a fault in a command that can continue its work.
RESUME_ADVICE = (
    f"Once that is fixed, run the same command with {option('resume', True)}; checkpoints written "
    "before are intact."
)


class MimicError(Exception):
    """One sentence for the user: what is wrong, where, and how to fix it.

    `template` is the sentence with the marks of `option`: use it to build another error from one.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.template = message

    @property
    def message(self) -> str:
        """The sentence with parameters as Python spells them."""
        return _MARKED.sub(r"\1=\3", self.template)

    def for_command_line(self) -> str:
        """The sentence with parameters as command line options."""
        return _MARKED.sub(_as_option, self.template)

    def __str__(self) -> str:
        return self.message


def _as_option(found: re.Match[str]) -> str:
    name = _OPTION_NAMES.get(found[1], found[1]).replace("_", "-")
    return f"--{name}" + (" " if found[2] == _VALUE and not found[3] else "")


class UsageError(MimicError):
    """The command line or a setting is wrong; found before any work started."""

    exit_code = 2


class UnknownNameError(UsageError):
    """`name` is no `kind` that we know; `near` are the likeliest intended ones."""

    def __init__(self, kind: str, name: str, near: Sequence[str] = (), hint: str = "") -> None:
        self.kind, self.name, self.near, self.hint = kind, name, tuple(near), hint
        advice = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f'There is no {kind} "{name}".{advice}{" " + hint if hint else ""}')

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[str, ...], str]]:
        return type(self), (self.kind, self.name, self.near, self.hint)


class RecipeError(UsageError):
    """Everything that is wrong with a recipe, one line each."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source, self.problems = source, tuple(problems)
        super().__init__(f"{source}: " + "; ".join(problems))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.problems)


class CheckpointError(MimicError):
    """A weight file that cannot be used."""


class NotACheckpointError(CheckpointError):
    """The file is no checkpoint at all: missing, empty, a web page, a pointer."""


class DamagedCheckpointError(CheckpointError):
    """The file was a checkpoint once: truncated, wrong checksum, NaN weights."""


class UnsafeCheckpointError(CheckpointError):
    """The file asks for code, or claims sizes that it does not have. Nothing of it was run."""


class TooLargeCheckpointError(CheckpointError):
    """The file is over a stated limit."""


class WrongEncoderError(CheckpointError):
    """The weights are sound but belong to another encoder."""


class DataError(MimicError):
    """Images or shards that cannot be used."""


class BrokenImageError(DataError):
    """One image that cannot be used. The message is the reason; the caller knows the name."""


class StorageError(MimicError):
    """Object storage that cannot be reached, refuses, or does not have what was asked for."""


class StorageAwayError(StorageError):
    """It does not answer, or says itself that it fails: to be tried again."""


class RunFolderError(MimicError):
    """An output folder that is taken, foreign, damaged, or disagrees with the command."""


class DiskError(MimicError):
    """A disk that fails, was removed or became read-only. Files written before are intact.

    `problem` says which disk; `advice` says what to do next, which depends on the command.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        self.problem, self.advice = problem, advice
        super().__init__(f"{problem} {advice}".strip())

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.problem, self.advice)


class DiskFullError(DiskError):
    """No space left on a disk. Files written before are intact."""


class ResourceError(MimicError):
    """The machine or the cluster lacks what was asked for."""


class TrainingError(MimicError):
    """The distillation failed: a loss that is not finite, a worker that died."""


class StoppedError(MimicError):
    """Ctrl-C or SIGTERM. The last committed step is on disk."""

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (self.template, self.signal_number)
