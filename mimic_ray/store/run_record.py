"""run.json: the inputs, the settings and the state of a run, enough to repeat it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from mimic_ray.base import files
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import RunFolderError, WrongFolderError, option
from mimic_ray.base.member_settings import in_words
from mimic_ray.base.redact import redact
from mimic_ray.data.left_out import LeftOut

Status = Literal["running", "stopped", "failed", "finished"]

# More names are of no use; `broken_images` is the full count.
BROKEN_NAMED = 100
_SUM = "sha256"


def installed_versions() -> dict[str, str]:
    """Versions of the libraries that can change a result, read without importing them."""
    found = {}
    for name in ("mimic-ray", "torch", "torchvision", "timm", "ray", "numpy", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def host_facts() -> dict[str, Any]:
    """The machine without its name: records get shared."""
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class RunRecord:
    """One run. `compute` is Compute.facts(); times are UTC. `train_s` adds up over resumes, without
    processes that were killed, which could not record theirs."""

    command: str
    encoder: str
    teacher: str
    teacher_sha256: str
    data: str
    data_fingerprint: str
    images: int
    seed: int
    compute: dict[str, Any]
    workers: int = 1
    # Checksums of the user's own files that encoder and recipe name, by `file.py:name`.
    user_code: dict[str, str] = field(default_factory=dict)
    strategy: str = "ddp"  # how several workers share the student; see base/resources.py
    left_out: dict[str, LeftOut] = field(default_factory=dict)  # reason -> files that are not read
    openings_imitated: int = 0  # changes found by a scan of the suspect that the student got
    broken_images: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)
    # Size and statistics of the images, and what the teacher's file did not determine.
    input: dict[str, Any] = field(default_factory=dict)
    assumed: str = ""
    effort: Effort = "full"  # see method/quick_recipe.py
    cost: dict[str, Any] = field(default_factory=dict)  # estimated before the start
    # Of the student on clean images, without labels; see execution/fidelity_check.py.
    fidelity: dict[str, Any] = field(default_factory=dict)
    # Of the suspect and the student, without a trigger; see execution/scan_check.py.
    scan: dict[str, Any] = field(default_factory=dict)
    # Sentences on the teacher's file: weight_files/export_notes.py.
    teacher_notes: list[str] = field(default_factory=list)
    status: Status = "running"
    error: str = ""
    diverged: bool = False  # a resume from the last checkpoint would lead there again
    step: int = 0
    train_s: float = 0.0
    resumed_from: list[int] = field(default_factory=list)
    started_at: str = field(default_factory=now)
    ended_at: str = ""
    versions: dict[str, str] = field(default_factory=installed_versions)
    host: dict[str, Any] = field(default_factory=host_facts)

    def train_time(self) -> str:
        """`75 s`, and what a resumed run leaves out."""
        left_out = " (without processes that were killed)" if self.resumed_from else ""
        return f"{self.train_s:,.0f} s{left_out}"

    def resumed(self, step: int) -> RunRecord:
        """The same run, going on from its committed `step`."""
        return replace(
            self,
            status="running",
            error="",
            diverged=False,
            step=step,
            ended_at="",
            resumed_from=[*self.resumed_from, step],
        )

    def ended(
        self,
        status: Status,
        *,
        step: int,
        train_s: float,
        error: str = "",
        diverged: bool = False,
    ) -> RunRecord:
        """The same run after `train_s` more seconds that led to `step`."""
        return replace(
            self,
            status=status,
            error=error,
            diverged=diverged,
            step=step,
            train_s=self.train_s + train_s,
            ended_at=now(),
        )

    def write(self, path: Path) -> None:
        """To `path` by rename, without any secret; its last entry is the sha256 of the others."""
        content = asdict(self)
        content["broken"] = content["broken"][:BROKEN_NAMED]
        shown = redact(content)
        files.write_json(path, {**shown, _SUM: _sum(shown)})


def read_record(path: Path) -> RunRecord:
    """Raises WrongFolderError if the file is missing, RunFolderError if it is damaged."""
    try:
        content = path.read_bytes()
    except NotADirectoryError:
        raise RunFolderError(
            f"{path.parent} is a file, not a run folder: give the folder that mimic-ray purify "
            f"wrote as its {option('out')}."
        ) from None
    except PermissionError:
        raise RunFolderError(f"{path} cannot be read: you have no permission to read it.") from None
    except FileNotFoundError:
        raise WrongFolderError(
            f"{path.parent} is not a run folder: it has no {path.name}. Give the folder that "
            f"mimic-ray purify wrote as its {option('out')}."
        ) from None
    return parse_record(content, path)


def parse_record(content: bytes, shown: object) -> RunRecord:
    """Raises RunFolderError, which calls the file `shown`, if it is damaged."""
    try:
        found = TypeAdapter(RunRecord).validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise _damaged(shown, f"{where + ': ' if where else ''}{in_words(problem)}") from None
    values = json.loads(content)
    # Records of earlier versions have no checksum.
    if values.pop(_SUM, None) not in (None, _sum(values)):
        raise _damaged(shown, "it does not match its own sha256")
    return found


def _damaged(shown: object, how: str) -> RunFolderError:
    return RunFolderError(
        f"{shown} is damaged: {how}. Restore it from a copy, or start again with another "
        f"{option('out')}."
    )


def _sum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
