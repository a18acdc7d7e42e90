"""All errors that users see, each one sentence that says how to fix it; exit codes.

    MimicError                  exit 1
    +-- UsageError              exit 2: a command that must be changed before it can work
    |   +-- UnknownNameError    a name that does not exist, with similar ones
    |   +-- RecipeError         all mistakes in a recipe at once
    +-- CheckpointError         a weight file that cannot be used
    |   +-- NotACheckpointError     empty, a web page, a git-lfs pointer ...
    |   |   +-- MissingCheckpointError  (also a UsageError) there is no such file
    |   +-- DamagedCheckpointError  truncated, failed checksum, NaN weights
    |   +-- UnsafeCheckpointError   contains code or claims a false size; never executed
    |   +-- TooLargeCheckpointError exceeds the size limit
    |   +-- WrongEncoderError       (also a UsageError) a valid file for another encoder
    +-- DataError               images, labels, triggers or shards that cannot be used
    |   +-- MissingDataError        (also a UsageError) there are no such images
    |   +-- BrokenImageError        one broken image; skipped up to a configurable share
    +-- StorageError            object storage denies access or lacks a file of a run
    |   +-- MissingObjectError      (also a UsageError) there is no such object or bucket
    |   +-- StorageAwayError        the storage is unreachable or failing; a retry may help
    +-- RunFolderError          a run or study that is damaged or taken over
    |   +-- WrongFolderError        (also a UsageError) taken, of another run, or no run at all
    +-- DiskError               a disk failed or was removed
    |   +-- DiskFullError           no space left on the device
    +-- ResourceError           the machine or cluster does not have what was requested
    +-- TrainingError           the distillation failed: a worker died, Ray failed
    |   +-- DivergedError           a loss or weights that are not finite
    +-- StoppedError            exit 128 + signal: Ctrl-C or SIGTERM; checkpoints are kept

Exit codes of every command:

    0    success, also if a reader closes stdout early (`| head -1`)
    1    failure: unusable content of files, storage or resources that refuse, an error during the
         work, or problems reported by `shards verify` and `cluster validate`
    2    a wrong command: an invalid option, name, setting or recipe, an input that does not exist,
         an output that is taken, inputs that do not belong together; nothing was started
    3    `scan`: the encoder is suspect
    4    `scan`: it cannot tell
    130  stopped by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP

Errors cross process boundaries (Ray, the checkpoint reader's child), so each one can be pickled:
the constructor's arguments are kept in `args`.

A message names a setting with `option("workers")`, because the same error reaches Python callers
and users of the command line: `str(error)` says `workers=`, `error.for_command_line()` says
`--workers`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

INTERRUPTED = 128 + 2  # SIGINT
# Of `scan`, by its verdict, so that a script can act on it.
VERDICT_EXIT_CODES = {"no evidence": 0, "suspect": 3, "cannot tell": 4}

# Control characters, which base.text.plain removes from any other text. The first precedes a
# parameter's name; the second follows a name without a value, the third a name with a value.
_BEFORE, _ALONE, _VALUE = "\x1d", "\x1e", "\x1f"
_MARKED = re.compile(f"{_BEFORE}([a-z_]+)([{_ALONE}{_VALUE}])(True\\b|False\\b)?")
# Parameters whose command line option has another name.
_OPTION_NAMES = {
    "heads": "head",
    "settings": "set",
    "trackers": "track",
    "defences": "defence",
    "capacity_timeout_s": "wait-for-capacity",
}


def option(name: str, value: object = None) -> str:
    """A parameter in an error message, with its value if one is given.

    `option("workers", 4)` reads `workers=4` in Python and `--workers 4` on the command line;
    for a flag, write `option("resume", True)`: `resume=True` and `--resume`, and
    `option("lasting", False)`: `lasting=False` and `--no-lasting`.
    """
    return f"{_BEFORE}{name}" + (_ALONE if value is None else f"{_VALUE}{value}")


# What to do after a fault in a command that can continue its work.
RESUME_ADVICE = (
    f"Once that is fixed, run the same command with {option('resume', True)}; checkpoints written "
    "before are intact."
)


class MimicError(Exception):
    """The base of all errors: one sentence that says what is wrong, where, and how to fix it.

    `template` is the sentence with the marks of `option`; use it to build one error from another.

    Example:
        import mimic_ray

        try:
            encoder = mimic_ray.load_encoder("no_such_run")
        except mimic_ray.MimicError as error:
            print(error)
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.template = message

    @property
    def message(self) -> str:
        """The sentence with parameters in Python spelling."""
        return _MARKED.sub(r"\1=\3", self.template)

    def for_command_line(self) -> str:
        """The sentence with parameters as command line options."""
        return _MARKED.sub(_as_option, self.template)

    def __str__(self) -> str:
        return self.message


def _as_option(found: re.Match[str]) -> str:
    name = _OPTION_NAMES.get(found[1], found[1]).replace("_", "-")
    if found[3] == "False":
        return f"--no-{name}"
    return f"--{name}" + (" " if found[2] == _VALUE and not found[3] else "")


class UsageError(MimicError):
    """A command that cannot work as it is, found before any work starts."""

    exit_code = 2


class UnknownNameError(UsageError):
    """There is no `kind` called `name`; `near` are the names that were probably meant."""

    def __init__(self, kind: str, name: str, near: Sequence[str] = (), hint: str = "") -> None:
        self.kind, self.name, self.near, self.hint = kind, name, tuple(near), hint
        advice = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f'There is no {kind} "{name}".{advice}{" " + hint if hint else ""}')

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[str, ...], str]]:
        return type(self), (self.kind, self.name, self.near, self.hint)


class RecipeError(UsageError):
    """All problems of a recipe."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source, self.problems = source, tuple(problems)
        super().__init__(f"{source}: " + "; ".join(problems))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.problems)


class CheckpointError(MimicError):
    """A weight file that cannot be used."""


class NotACheckpointError(CheckpointError):
    """The file is missing, empty, or something else: a web page, a git-lfs pointer."""


class MissingCheckpointError(NotACheckpointError, UsageError):
    """There is no such file."""


class DamagedCheckpointError(CheckpointError):
    """The checkpoint is truncated, fails a checksum or has NaN weights."""


class UnsafeCheckpointError(CheckpointError):
    """The file contains code or claims sizes that it does not have. Nothing in it was run."""


class TooLargeCheckpointError(CheckpointError):
    """The file exceeds the size limit."""


class WrongEncoderError(CheckpointError, UsageError):
    """The weights are valid, but belong to another encoder than the one that was named."""


class DataError(MimicError):
    """Images or shards that cannot be used."""


class MissingDataError(DataError, UsageError):
    """There is nothing at the named location."""


class BrokenImageError(DataError):
    """One image that cannot be used. The message is the reason; the caller adds the name."""


class UnreadImageError(BrokenImageError):
    """One image that could not be read this time, while its file may be whole."""


class StorageError(MimicError):
    """Object storage cannot be reached, denies access, or does not have the object."""


class MissingObjectError(StorageError, UsageError):
    """There is no such object or bucket at the named address."""


class StorageAwayError(StorageError):
    """The storage does not answer or reports an internal failure. Retry later."""


class RunFolderError(MimicError):
    """The folder of a run or study that cannot be used."""


class WrongFolderError(RunFolderError, UsageError):
    """A folder that the command cannot use: taken, of another run, no run, or impossible to make.

    Another folder or another command is needed; nothing is damaged.
    """


class DiskError(MimicError):
    """A disk failed, was removed or became read-only. Files written before are intact.

    `problem` names the disk; `advice` says what to do next, which depends on the command.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        self.problem, self.advice = problem, advice
        super().__init__(f"{problem} {advice}".strip())

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.problem, self.advice)


class DiskFullError(DiskError):
    """A disk has no space left. Files written before are intact."""


class ResourceError(MimicError):
    """The machine or the cluster does not have what was requested."""


class TrainingError(MimicError):
    """The distillation failed: it diverged, or a worker died."""


class DivergedError(TrainingError):
    """A loss or weights are not finite. The same settings would lead there again."""


class StoppedError(MimicError):
    """Stopped by Ctrl-C or SIGTERM. The last checkpoint is on disk."""

    def __init__(self, message: str, signal_number: int = 2) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return type(self), (self.template, self.signal_number)
