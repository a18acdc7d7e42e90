"""The run folder: every name on disk, in this one place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base import files
from mimic_ray.base.errors import RunFolderError
from mimic_ray.base.text import plain
from mimic_ray.store.run_record import RunRecord, read_record

RECORD = "run.json"
# What base/files calls a file or folder until it is whole.
_UNFINISHED = ".*.tmp-*"


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Made by `create`, found again by `open`."""

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
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def card(self) -> Path:
        return self.path / "README.md"

    @property
    def worker_log(self) -> Path:
        return self.path / "ray.log"

    @staticmethod
    def require_free(path: str | Path) -> None:
        """Raises RunFolderError if `path` holds anything; to be asked before the long work."""
        path = Path(path)
        if not path.exists():
            return
        if not path.is_dir():
            raise RunFolderError(f"{path} is a file: give a folder that is new or empty as --out.")
        if (path / RECORD).exists():
            raise RunFolderError(
                f"{path} holds another run{_described(path / RECORD)}: continue it with "
                "--resume, or give another --out."
            )
        # A killed `create` leaves an unfinished record and nothing else.
        if foreign := sorted({*path.iterdir()} - {*path.glob(_UNFINISHED)}):
            raise RunFolderError(
                f'{path} holds "{plain(foreign[0].name)}", which is no part of a run: give a '
                "folder that is new or empty as --out."
            )

    @classmethod
    def create(cls, path: str | Path, record: RunRecord) -> RunFolder:
        """A new run folder with its record. Raises RunFolderError if `path` holds anything."""
        cls.require_free(path)
        folder = cls(Path(path))
        try:
            with files.disk_errors(folder.record):
                files.make_folder(folder.path)
        except OSError as error:
            raise RunFolderError(
                f"Cannot make {path} ({error.strerror}): give another --out."
            ) from error
        folder.remove_leftovers()
        record.write(folder.record)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run at `path`, unchanged. Raises RunFolderError if there is none."""
        folder = cls(Path(path))
        read_record(folder.record)
        return folder

    def remove_leftovers(self) -> None:
        """Removes what killed writers left. Only the run's one writer may ask for it."""
        for leftover in [*self.path.rglob(_UNFINISHED)]:
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)


def _described(record: Path) -> str:
    try:
        known = read_record(record)
    except RunFolderError:
        return " (its run.json is damaged)"
    return f" ({known.status}, {known.encoder}, started {known.started_at})"
