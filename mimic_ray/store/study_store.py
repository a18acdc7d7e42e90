"""A study in a store: its record, its trials and its results.

The driver and each process of a trial open the study. They exchange what concerns a trial through
its trial.json and task.json; its run, at `run(trial_id)`, is like that of any distillation.

    study = open_study("s3://bucket/study", "driver")
    study.fetch()                       # the stored records, into study.folder
    study.write_trial(trial)            # from here on other processes see it
    study.read_trial(trial.id)          # as the trial's own process wrote it
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mimic_ray.base import files
from mimic_ray.base.errors import MimicError, RunFolderError, option
from mimic_ray.base.locations import absolute
from mimic_ray.base.storage_address import below
from mimic_ray.method.recipe import Recipe
from mimic_ray.search.trial import Trial
from mimic_ray.store.progress_file import PROGRESS, end_progress
from mimic_ray.store.recipe_file import load_recipe, write_recipe
from mimic_ray.store.run_folder import CHECKPOINTS
from mimic_ray.store.store import Store, open_store, require_free
from mimic_ray.store.study_folder import (
    STUDY,
    TRIAL,
    StudyFolder,
    StudyRecord,
    read_trial,
    write_study,
    write_trial,
)

_TASK, _RECIPE = "task.json", "recipe.toml"


class StudyStore:
    """One study. `folder` is what this process reads and writes; `store` says where it is kept.

    `address` is where a process on another machine finds it.
    """

    def __init__(self, store: Store, address: str) -> None:
        self.store = store
        self.address = address
        self.folder = StudyFolder(store.folder)

    def __str__(self) -> str:
        return str(self.store)

    def run(self, trial_id: str) -> str:
        """The location of a trial's run."""
        return below(self.address, self._name(trial_id))

    def require_free(self) -> None:
        """Raises RunFolderError if anything is stored there already."""
        # Left by a search that was killed while it prepared.
        leftovers = {PROGRESS, self.folder.log.name}
        require_free(self.store, STUDY, "study", leftovers=leftovers)

    def fetch(self) -> None:
        """Makes `folder` equal to the stored records. Raises StorageError."""
        self.store.fetch(self._is_record)

    def create(self, record: StudyRecord) -> None:
        """Stores the record of a new study. Raises RunFolderError, StorageError."""
        self.folder.create(record)
        self.store.publish(STUDY)

    def write_record(self, record: StudyRecord) -> None:
        """Stores study.json."""
        write_study(self.folder, record)
        self.store.publish(STUDY)
        if record.status != "running":
            end_progress(self.store, record.status)

    def write_trial(self, trial: Trial) -> None:
        """Stores the record of a trial."""
        write_trial(self.folder, trial)
        self.store.publish(self._name(trial.id, TRIAL))

    def read_trial(self, trial_id: str) -> Trial | None:
        """The stored record of a trial, None before it began."""
        if not self.store.fetch_file(self._name(trial_id, TRIAL)):
            return None
        with self.store.errors_at_location():
            return read_trial(self.folder, trial_id)

    def write_task(self, trial_id: str, task: Mapping[str, Any]) -> None:
        """Stores what the process of a trial does; Ray Tune's config has only the searched keys."""
        name = self._name(trial_id, _TASK)
        files.write_json(self.folder.path / name, task)
        self.store.publish(name)

    def read_task(self, trial_id: str) -> dict[str, Any]:
        """Raises RunFolderError if this machine cannot see the study."""
        name = self._name(trial_id, _TASK)
        if not self.store.fetch_file(name):
            raise RunFolderError(
                f"{self.store.location(name)} is missing: do all machines see {self}? Set "
                f"{option('out')} to a location that they share, such as s3://bucket/study."
            )
        task: dict[str, Any] = json.loads((self.folder.path / name).read_bytes())
        return task

    def write_recipe(self, trial_id: str, recipe: Recipe) -> None:
        """Stores the complete recipe of a trial."""
        name = self._name(trial_id, _RECIPE)
        write_recipe(self.folder.path / name, recipe)
        self.store.publish(name)

    def read_recipe(self, trial_id: str) -> Recipe:
        """The complete recipe of a trial."""
        name = self._name(trial_id, _RECIPE)
        self.store.fetch_file(name)
        return load_recipe(str(self.folder.path / name))

    def delete_checkpoints(self, trial_id: str) -> None:
        """Deletes what only a resume needs: it would fill the storage, trial by trial."""
        self.store.delete_folder(self._name(trial_id, CHECKPOINTS))

    def publish_results(self) -> None:
        """Stores what was made of the trials. They stored their own results themselves."""
        folder = self.folder
        # study.json is stored last, by `write_record`.
        results = [p for p in folder.path.iterdir() if p.is_file()]
        # Ray Tune also writes files that are not for TensorBoard; they are not stored.
        results += folder.tensorboard.rglob("events.out.tfevents.*")
        names = {path.relative_to(folder.path).as_posix() for path in results}
        self.store.publish(*sorted(names - {STUDY, PROGRESS}))

    def close(self) -> None:
        """Ends the use of the study by this process."""
        with suppress(MimicError):
            if self.folder.log.exists():
                self.store.publish(self.folder.log.name)
        self.store.close()

    def _name(self, trial_id: str, file: str = "") -> str:
        return f"{self.folder.trials.name}/{trial_id}" + (f"/{file}" if file else "")

    def _is_record(self, name: str) -> bool:
        parts = name.split("/")
        of_trial = parts[0] == self.folder.trials.name and len(parts) == 3
        return name == STUDY or (of_trial and parts[-1] in (TRIAL, _RECIPE))


def open_study(location: str | Path, owner: str) -> StudyStore:
    """The study at a path or an address; `owner` as in `open_store`."""
    return StudyStore(open_store(location, owner), absolute(location))
