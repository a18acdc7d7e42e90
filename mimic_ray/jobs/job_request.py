"""A command as a job: its arguments on the cluster, its locations, and the files to upload."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.resources import Resources
from mimic_ray.base.text import plain

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class JobLocation:
    """An input or output: an absolute path, a pattern, a data set or an address."""

    option: str  # its name in messages, such as "--data"
    location: str
    is_output: bool = False
    is_file: bool = False  # a single file; else it may be a folder, a pattern or a prefix


@dataclass(frozen=True)
class JobCommand:
    """A checked command line, rewritten for the cluster.

    `files` are uploaded: name in the job's working folder -> local file. `spreads`: the command
    starts its own workers on the cluster; otherwise it runs on one node that fits one worker of
    `resources`. `capacity_option` is the option that makes the command wait for nodes, "" if it
    has none or the command line already sets it. `check(sees_paths)` raises what the command would
    raise before its work, as far as this machine can tell; it may import torch.
    """

    words: Sequence[str]  # such as ["purify", "--encoder", "vit_b16", ...]
    locations: Sequence[JobLocation]
    files: Mapping[str, Path]
    resources: Resources
    spreads: bool
    capacity_option: str = ""
    check: Callable[[bool], None] = field(default=lambda sees_paths: None, compare=False)

    @property
    def shown(self) -> str:
        return shlex.join(["mimic-ray", *self.words])

    @property
    def out(self) -> str:
        """The output location; "" if the command has none."""
        return next((entry.location for entry in self.locations if entry.is_output), "")

    @property
    def default_name(self) -> str:
        """The same for equal commands, so that sending a command twice does not run it twice.

        It also depends on the content of the uploaded files.
        """
        digest = hashlib.sha256("\0".join(self.words).encode())
        for name in sorted(self.files):
            digest.update(hashlib.sha256(self.files[name].read_bytes()).digest())
        return f"{self.words[0]}-{digest.hexdigest()[:8]}"

    def entrypoint(self, interpreter: str, capacity_timeout_s: int = 0) -> str:
        """The shell command of the job. With a timeout, it waits for nodes if it can."""
        words = [interpreter, "-m", "mimic_ray", *self.words]
        if self.capacity_option and capacity_timeout_s:
            words += [self.capacity_option, str(capacity_timeout_s)]
        return shlex.join(words)


def check_name(name: str) -> None:
    """Raises UsageError for a name with which Ray could start a job, but not delete it."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{option('name', plain(name, 60))} must be at most 100 letters, digits, hyphens and "
            "underscores, starting with a letter or digit."
        )
