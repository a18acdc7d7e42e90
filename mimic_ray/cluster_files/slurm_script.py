"""A batch script for Slurm: a Ray cluster on the allocated nodes, and a command on its head."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

from mimic_ray.base.errors import UsageError, option
from mimic_ray.base.text import plain
from mimic_ray.cluster_files.cluster_spec import ON_WORKERS

if TYPE_CHECKING:
    from jinja2 import Environment

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
# What sbatch takes: minutes, or days, hours, minutes and seconds.
_TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}")


@dataclass(frozen=True)
class SlurmSpec:
    """One batch job. A worker is a Ray Train worker with one GPU. Raises UsageError."""

    gpu: str = "any"  # type of GPU as the site calls it
    workers: int = 8
    gpus_per_node: int | None = None  # None: 4, or fewer if there are fewer workers
    cpus_per_gpu: int = 8
    name: str = "mimic-ray"
    partition: str = ""
    account: str = ""
    time: str = "04:00:00"
    environment: str = ""  # folder of a virtual environment
    interface: str = ""
    token_file: str = "~/.ray/auth_token"
    job: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("workers", "gpus_per_node", "cpus_per_gpu"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{option(name, value)} must be at least 1.")
        if self.workers % self.gpus:
            raise UsageError(
                f"{option('workers', self.workers)} must be a multiple of "
                f"{option('gpus_per_node', self.gpus)}: Slurm allocates whole nodes here."
            )
        for name in ("gpu", "name", "partition", "account", "interface"):
            value = getattr(self, name)
            if value and not _NAME.fullmatch(value):
                raise UsageError(
                    f'{option(name)} "{plain(value, 60)}" must be a name of letters, digits, '
                    "dots, dashes and underscores."
                )
        if self.job and self.job[0] not in ON_WORKERS:
            raise UsageError(
                f"{plain(self.job[0], 40)} does not use a Ray cluster: give one of "
                f"{', '.join(ON_WORKERS)}, or start it with sbatch and srun alone."
            )
        if not _TIME.fullmatch(self.time):
            raise UsageError(
                f'{option("time")} "{plain(self.time, 60)}" must be a time as for sbatch: minutes, '
                "hours:minutes:seconds or days-hours."
            )
        for text in (self.environment, self.token_file, *self.job):
            if not text.isprintable():
                raise UsageError(f'"{plain(text, 60)}" has a control character.')

    @property
    def gpus(self) -> int:
        """Per node."""
        return self.gpus_per_node or min(4, self.workers)

    @property
    def nodes(self) -> int:
        return math.ceil(self.workers / self.gpus)

    @property
    def gres(self) -> str:
        return str(self.gpus) if self.gpu == "any" else f"{self.gpu}:{self.gpus}"

    @property
    def command(self) -> str:
        """Of the job, without the address."""
        default = (
            *("purify", "--encoder", "vit_b16", "--teacher", "suspect.pth", "--data", "shards"),
            *("--out", f"runs/{self.name}"),
            *("--workers", str(self.workers), "--gpus-per-worker", "1"),
        )
        return shlex.join(("mimic-ray", *(self.job or default)))


def render_slurm(spec: SlurmSpec) -> str:
    """The script, with the command that creates it on top."""
    return _templates().get_template("slurm.sh").render(spec=spec, created_by=_created_by(spec))


def _created_by(spec: SlurmSpec) -> str:
    words = ["mimic-ray", "cluster", "render", "--provider", "slurm"]
    for field in fields(SlurmSpec):
        value = getattr(spec, field.name)
        if field.name != "job" and (field.name in ("gpu", "workers") or value != field.default):
            words += ["--" + field.name.replace("_", "-"), str(value)]
    return shlex.join(words + (["--", *spec.job] if spec.job else []))


def in_shell(path: str) -> str:
    """A path quoted for the shell, with ~ for the home folder."""
    if path == "~" or path.startswith("~/"):
        rest = shlex.quote(path[2:]) if path[2:] else ""
        return f'"$HOME"/{rest}'
    return shlex.quote(path)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("mimic_ray.cluster_files"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    made.filters["in_shell"] = in_shell
    return made
