"""The run folder: the names of all files in it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import WrongFolderError, option
from mimic_ray.store.run_record import RunRecord, read_record

RECORD = "run.json"
CHECKPOINTS = "checkpoints"
LOG = "ray.log"
TENSORBOARD = "tensorboard"
# Matches what base/files.py writes before it renames it.
UNFINISHED = ".*.tmp-*"


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. `create` makes a new one, `open` finds an existing one."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / RECORD

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def student(self) -> Path:
        return self.path / "student.safetensors"

    @property
    def encoder(self) -> Path:
        return self.path / "encoder.json"

    @property
    def export(self) -> Path:
        return self.path / "export"

    @property
    def profile(self) -> Path:
        return self.path / "profile.parquet"

    @property
    def profile_plot(self) -> Path:
        return self.path / "profile.png"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.parquet"

    @property
    def metrics_log(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def loss_plot(self) -> Path:
        return self.path / "loss.png"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def evaluation_plot(self) -> Path:
        return self.path / "evaluation.png"

    @property
    def scan_picture(self) -> Path:
        return self.path / "scan.png"

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def card(self) -> Path:
        return self.path / "README.md"

    @property
    def tensorboard(self) -> Path:
        return self.path / TENSORBOARD

    @property
    def worker_log(self) -> Path:
        return self.path / LOG

    @classmethod
    def create(cls, path: str | Path, record: RunRecord) -> RunFolder:
        """A new folder with its record. Raises WrongFolderError, DiskError."""
        folder = cls(Path(path))
        try:
            with files.disk_errors(folder.record):
                files.make_folder(folder.path)
        except OSError as error:
            raise WrongFolderError(
                f"Cannot make {path} ({error.strerror}): set another {option('out')}."
            ) from error
        folder.remove_leftovers()
        record.write(folder.record)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run at `path`, unchanged. Raises WrongFolderError if there is none."""
        folder = cls(Path(path))
        read_record(folder.record)
        return folder

    def remove_leftovers(self) -> None:
        """Removes what killed writers left. Only for the one process that writes to the run."""
        for leftover in [*self.path.rglob(UNFINISHED)]:
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)
