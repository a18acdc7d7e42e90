"""The study folder: the names of all files in it, the record of the study and of each trial.

    study.json          inputs, search space and state of the study
    trials/ID/          one folder per trial: trial.json, recipe.toml, metrics, student.safetensors
    trials.parquet      all trials, one row each
    best.toml           the chosen trial's recipe, complete
    report.html *.png   the results, with figures as .pdf and .svg too
    trials.* front.*    all trials and the front as .csv, .tex and .md
    tensorboard/        scores of all trials, for TensorBoard
    ray.log             Ray's own output

A trial's folder is named after its canonical recipe, so equal trials have the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from math import isnan, nan
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from mimic_ray.base import files
from mimic_ray.base.effort import Effort
from mimic_ray.base.errors import RunFolderError, WrongFolderError, option
from mimic_ray.base.frames import arrow_table
from mimic_ray.base.member_settings import in_words
from mimic_ray.base.redact import redact
from mimic_ray.data.left_out import LeftOut
from mimic_ray.search.trial import Trial
from mimic_ray.search.trial_rows import trial_rows
from mimic_ray.store.agreement import differences
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import host_facts, installed_versions, now

STUDY = "study.json"
TRIAL = "trial.json"
Status = Literal["running", "stopped", "failed", "finished"]

# key of a StudyRecord -> what an error calls it
_MUST_AGREE = {
    "encoder": "the encoder",
    "teacher_sha256": "the teacher's sha256",
    "data_fingerprint": "the images' fingerprint",
    "held_out": option("held_out"),
    "recipe": "recipe",
    "user_code": "user code",
    "space": "search",
    "oracle": "oracle",
    "effort": option("effort"),
}


@dataclass(frozen=True)
class StudyRecord:
    """study.json. `recipe` is the base recipe, `space` key -> values; times are UTC."""

    command: str
    encoder: str
    teacher: str
    teacher_sha256: str
    data: str
    data_fingerprint: str
    images: int
    held_out: float  # share of the images
    recipe: dict[str, Any]
    space: dict[str, str]
    taps: list[str]
    shares: list[float]  # of each tap in the profile
    trials: int  # planned
    seed: int
    oracle: dict[str, str]  # the trigger and labelled images; empty unless they were used
    compute: dict[str, Any]
    workers: int = 1  # of a trial
    effort: Effort = "full"
    cost: dict[str, Any] = field(default_factory=dict)  # estimated before the start
    user_code: dict[str, str] = field(default_factory=dict)  # as in a RunRecord
    left_out: dict[str, LeftOut] = field(default_factory=dict)  # as in a RunRecord
    status: Status = "running"
    error: str = ""
    seconds: float = 0.0
    teacher_forwards: int = 0  # images that went through the teacher, for all trials together
    notes: list[str] = field(default_factory=list)  # sentences for the user
    started_at: str = field(default_factory=now)
    ended_at: str = ""
    versions: dict[str, str] = field(default_factory=installed_versions)
    host: dict[str, Any] = field(default_factory=host_facts)

    def ended(self, status: Status, seconds: float, error: str = "") -> StudyRecord:
        """The same study after `seconds` more."""
        total = self.seconds + seconds
        return replace(self, status=status, error=error, seconds=total, ended_at=now())


@dataclass(frozen=True)
class StudyFolder:
    """One study on disk."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / STUDY

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    @property
    def table(self) -> Path:
        return self.path / "trials.parquet"

    @property
    def best(self) -> Path:
        return self.path / "best.toml"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def log(self) -> Path:
        return self.path / "ray.log"

    def trial(self, trial_id: str) -> RunFolder:
        """The folder of one trial, with the file names of a run."""
        return RunFolder(self.trials / trial_id)

    def create(self, record: StudyRecord) -> None:
        """The folder with its record; Ray's log may exist already."""
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrongFolderError(
                f"Cannot make {self.path} ({error.strerror}): set another {option('out')}."
            ) from error
        write_study(self, record)


def write_study(folder: StudyFolder, record: StudyRecord) -> None:
    """study.json, by rename, without any secret."""
    files.write_json(folder.record, redact(asdict(record)))


def read_study(folder: StudyFolder) -> StudyRecord:
    """Raises RunFolderError when the file is missing, damaged or no study's."""
    try:
        return TypeAdapter(StudyRecord).validate_json(folder.record.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise WrongFolderError(
            f"{folder.path} is not a study folder: it has no {STUDY}. Give the folder that "
            f"mimic-ray tune wrote as its {option('out')}."
        ) from None
    except ValidationError as error:
        problem = error.errors()[0]
        raise RunFolderError(
            f"{folder.record} is damaged ({in_words(problem)}): restore it from a copy, or start "
            f"again with another {option('out')}."
        ) from None


def check_study(recorded: StudyRecord, wanted: StudyRecord) -> None:
    """Raises RunFolderError naming everything that would make it another study."""
    old, new = asdict(recorded), asdict(wanted)
    if problems := [
        difference
        for key, words in _MUST_AGREE.items()
        for difference in differences(words, old[key], new[key])
    ]:
        raise WrongFolderError(
            f"This is not the study that was started: {'; '.join(problems)}. Resume it with the "
            f"same inputs, or start a new one with another {option('out')}."
        )


def write_trial(folder: StudyFolder, trial: Trial) -> None:
    """trial.json in the trial's folder, by rename. NaN is written as null."""
    path = folder.trial(trial.id).path
    path.mkdir(parents=True, exist_ok=True)
    content = {
        key: None if isinstance(value, float) and isnan(value) else value
        for key, value in asdict(trial).items()
    }
    files.write_json(path / TRIAL, content)


def read_trial(folder: StudyFolder, trial_id: str) -> Trial | None:
    """The record of one trial, None before it began.

    Raises RunFolderError for a damaged file.
    """
    path = folder.trial(trial_id).path / TRIAL
    try:
        content = json.loads(path.read_bytes())
        content = {key: nan if value is None else value for key, value in content.items()}
        return Trial(**{**content, "kept": tuple(content["kept"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError):
        raise RunFolderError(
            f"{path} is damaged: delete {path.parent} and run the command again with "
            f"{option('resume', True)}, which repeats that trial."
        ) from None


def read_trials(folder: StudyFolder) -> list[Trial]:
    """All trials that began, in that order."""
    if not folder.trials.is_dir():
        return []
    found = [read_trial(folder, path.name) for path in sorted(folder.trials.iterdir())]
    return sorted((trial for trial in found if trial), key=lambda trial: trial.number)


def write_table(folder: StudyFolder, trials: Iterable[Trial], chosen: str, front: set[str]) -> None:
    """trials.parquet: a column for each field and each searched key.

    `chosen` and `front` are ids; both become columns.
    """
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(arrow_table(trial_rows(trials, chosen, front)), buffer)
    files.write_bytes(folder.table, buffer.getvalue())
