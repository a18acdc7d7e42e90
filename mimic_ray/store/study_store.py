"""Where a study lies: a folder, or an address of object storage with a folder to work in.

The driver and each process of a trial have one of their own. What they must tell each other of a
trial is in its trial.json and task.json; its run, at `run(trial_id)`, is as that of any
distillation (store/run_store.py).

    study = study_place("s3://bucket/study", "driver")
    study.fetch()                       # the records that are there, into study.folder
    study.write_trial(trial)            # now others see it
    study.read_trial(trial.id)          # what a trial's process wrote meanwhile
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import MimicError, RunFolderError
from mimic_ray.base.storage_address import below, is_remote, parse
from mimic_ray.method.recipe import Recipe
from mimic_ray.search.trial import Trial
from mimic_ray.store.progress_file import NAME as LIVE
from mimic_ray.store.progress_file import LiveStore, end_live
from mimic_ray.store.recipe_file import load_recipe, write_recipe
from mimic_ray.store.remote_progress_file import RemoteLive
from mimic_ray.store.study_folder import (
    StudyFolder,
    StudyRecord,
    read_trial,
    write_study,
    write_trial,
)
from mimic_ray.store.working_copy import Mirror

_TASK, _TRIAL, _RECIPE = "task.json", "trial.json", "recipe.toml"


class StudyPlace:
    """A study in a folder of this machine, or of a disk that all machines share."""

    remote = False

    def __init__(self, folder: Path, address: str | None = None) -> None:
        self.folder = StudyFolder(folder)
        self.address = address or str(folder.absolute())  # where another process finds the study

    def __str__(self) -> str:
        return str(self.folder.path)

    def at(self, name: str = "") -> Path | str:
        """Where a reader finds the study, or a file of it: a path, or an address."""
        return self.folder.path / name

    def run(self, trial_id: str) -> str:
        """The place of a trial's run, for store/run_store.py."""
        return below(self.address, f"{self.folder.trials.name}/{trial_id}")

    @property
    def live(self) -> LiveStore:
        return LiveStore(self.folder.path)

    def require_free(self) -> None:
        """Raises RunFolderError if something lies there already."""
        StudyFolder.require_free(self.folder.path)

    def fetch(self) -> None:
        """Makes `folder` what others have written: all records. Raises StorageError."""

    def put(self, *names: str) -> None:
        """Files of `folder` that others must see now. Raises StorageError."""

    def refresh(self, name: str) -> bool:
        """Makes one file of `folder` what others have written of it; False if it is nowhere."""
        return (self.folder.path / name).exists()

    def hurry(self) -> None:
        """From here on no long waiting for a storage that is away."""

    @contextmanager
    def named(self) -> Iterator[None]:
        """What is wrong with a file of `folder` is said of the file that it is a copy of."""
        yield

    def create(self, record: StudyRecord) -> None:
        """The study with its record. Raises RunFolderError, StorageError."""
        self.folder.create(record)
        self.put(self.folder.record.name)

    def write_record(self, record: StudyRecord) -> None:
        """study.json, where it counts."""
        write_study(self.folder, record)
        self.put(self.folder.record.name)
        if record.status != "running":
            end_live(self.live, record.status)

    def write_trial(self, trial: Trial) -> None:
        """The trial's record, where it counts."""
        write_trial(self.folder, trial)
        self.put(self._of(trial.id, _TRIAL))

    def read_trial(self, trial_id: str) -> Trial | None:
        """The trial's record as it is now, None before it began."""
        if not self.refresh(self._of(trial_id, _TRIAL)):
            return None
        with self.named():
            return read_trial(self.folder, trial_id)

    def write_task(self, trial_id: str, task: Mapping[str, Any]) -> None:
        """What the process of the trial shall do: a Tune config holds the searched keys alone."""
        name = self._of(trial_id, _TASK)
        files.write_json(self.folder.path / name, task)
        self.put(name)

    def read_task(self, trial_id: str) -> dict[str, Any]:
        name = self._of(trial_id, _TASK)
        if not self.refresh(name):
            raise RunFolderError(
                f"{self.at(name)} is missing: do all machines see {self}? Give an --out that they "
                "do, such as s3://bucket/study."
            )
        task: dict[str, Any] = json.loads((self.folder.path / name).read_bytes())
        return task

    def write_recipe(self, trial_id: str, recipe: Recipe) -> None:
        name = self._of(trial_id, _RECIPE)
        write_recipe(self.folder.path / name, recipe)
        self.put(name)

    def read_recipe(self, trial_id: str) -> Recipe:
        """The trial's recipe, complete."""
        name = self._of(trial_id, _RECIPE)
        self.refresh(name)
        return load_recipe(str(self.folder.path / name))

    def drop_checkpoints(self, trial_id: str) -> None:
        """What only a resume needs goes: it would fill the storage, trial by trial."""
        shutil.rmtree(self.folder.trial(trial_id).checkpoints, ignore_errors=True)

    def put_results(self) -> None:
        """All that is made of the trials; study.json is left to `write_record`."""

    def remove(self) -> None:
        """Leaves nothing of a study that has nothing."""
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def close(self) -> None:
        """The work is over: what only it needed goes."""

    def _of(self, trial_id: str, name: str) -> str:
        return f"{self.folder.trials.name}/{trial_id}/{name}"


class RemoteStudyPlace(StudyPlace):
    """See `StudyPlace`. What `folder` holds is a copy; what counts is at the address."""

    remote = True

    def __init__(self, address: str, who: str) -> None:
        self._mirror = Mirror(address, who)
        super().__init__(self._mirror.path, address)
        self._live = RemoteLive(self._mirror.storage)

    def __str__(self) -> str:
        return self._mirror.storage.shown()

    def at(self, name: str = "") -> Path | str:
        return self._mirror.storage.shown(name)

    @property
    def live(self) -> LiveStore:
        return self._live

    def require_free(self) -> None:
        self._mirror.require_free(self.folder.record.name, "study")

    def fetch(self) -> None:
        self._mirror.start_anew()
        wanted = (_TRIAL, _RECIPE)
        for found in self._mirror.listed():
            parts = found.name.split("/")
            of_a_trial = parts[0] == self.folder.trials.name and parts[-1] in wanted
            if found.name == self.folder.record.name or (of_a_trial and len(parts) == 3):
                self._mirror.fetch(found.name)

    def put(self, *names: str) -> None:
        for name in names:
            self._mirror.put(name)

    def refresh(self, name: str) -> bool:
        content = self._mirror.read(name)
        if content is None:
            return False
        path = self.folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return True

    def hurry(self) -> None:
        self._mirror.hurry()

    @contextmanager
    def named(self) -> Iterator[None]:
        with self._mirror.named():
            yield

    def drop_checkpoints(self, trial_id: str) -> None:
        checkpoints = self.folder.trial(trial_id).checkpoints
        self._mirror.drop_folder(checkpoints.relative_to(self.folder.path).as_posix())

    def put_results(self) -> None:
        """Trials have put theirs; study.json comes last, from `write_record`."""
        folder = self.folder
        left = {folder.trials.name, folder.tensorboard.name, folder.record.name, LIVE}
        made = [path for path in folder.path.iterdir() if path.name not in left and path.is_file()]
        # Beside TensorBoard's files lie Ray Tune's own notes, of which we read none.
        made += folder.tensorboard.rglob("events.out.tfevents.*")
        for path in sorted(made):
            self.put(path.relative_to(folder.path).as_posix())

    def remove(self) -> None:
        self._mirror.remove()

    def close(self) -> None:
        self._live.settle()
        with suppress(MimicError):
            if self.folder.log.exists():
                self.put(self.folder.log.name)
        self._mirror.leave()


def study_place(study: str | Path, who: str) -> StudyPlace:
    """The place of a study; `who` names this process among those that work on it from one machine.

    Raises UsageError, StorageError for an address that cannot be.
    """
    if is_remote(study):
        return RemoteStudyPlace(str(study), who)
    return StudyPlace(Path(parse(study).path))
