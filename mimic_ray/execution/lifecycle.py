"""How a run begins, goes on and ends, in the files of its place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from mimic_ray.base.errors import DiskError, MimicError, option
from mimic_ray.method.recipe import Recipe
from mimic_ray.store.agreement import agreement, check_agreement
from mimic_ray.store.checkpoint import committed_step, latest
from mimic_ray.store.progress_file import begin_live, end_live
from mimic_ray.store.recipe_file import load_recipe, write_recipe
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord, Status, read_record
from mimic_ray.store.run_store import Place


def begin_run(place: Place, record: RunRecord, recipe: Recipe) -> RunRecord:
    """A new run with its two files, or nothing. Raises RunFolderError, DiskError, StorageError."""
    try:
        RunFolder.create(place.folder.path, record)
        write_recipe(place.folder.recipe, recipe)
    except DiskError as error:
        place.remove()
        advice = f"Set {option('out')} to a folder on another disk. Nothing was started."
        raise type(error)(error.problem, advice) from error
    # The record first: whoever finds it knows that a run is there.
    place.put(place.folder.record.name, place.folder.recipe.name)
    place.claim()
    begin_live(place.live, recipe.training.steps, None)
    return record


def continue_run(place: Place, record: RunRecord, recipe: Recipe) -> tuple[RunRecord, list[str]]:
    """The run that lies there, going on with `recipe`; warnings of what may change its bits.

    A finished one is given back as it is. Raises RunFolderError where there is none, or where it
    is not the same run.
    """
    place.fetch()
    folder = RunFolder.open(place.folder.path)
    earlier = read_record(folder.record)
    if not folder.recipe.exists() and committed_step(folder) is None:
        write_recipe(folder.recipe, recipe)  # it was killed between its first two files
        place.put(folder.recipe.name)
    recorded = load_recipe(str(folder.recipe)).model_dump(mode="json")
    now = recipe.model_dump(mode="json")
    warnings = check_agreement(agreement(earlier, recorded), agreement(record, now))
    if earlier.status == "finished":
        return earlier, []
    place.claim()
    folder.remove_leftovers()
    committed = latest(folder)
    going_on = earlier.resumed(committed.step if committed else 0)
    going_on = replace(going_on, workers=record.workers, strategy=record.strategy)
    place.write_record(going_on)
    begin_live(place.live, recipe.training.steps, committed.step if committed else None)
    return going_on, warnings


def withdraw(place: Place) -> None:
    """Leaves nothing of a run that never committed a step; a resumed one keeps what it has."""
    place.hurry()
    with suppress(MimicError):  # a damaged latest.json: something was committed
        place.check_claim(place.claimed)
        place.fetch()
        if committed_step(place.folder) is None:
            place.remove()


def note_end(place: Place, record: RunRecord, status: Status, error: str) -> None:
    """run.json says how a run ended that is not done."""
    # The error that is on its way must not be hidden by another; the folder may be gone.
    place.hurry()
    with suppress(MimicError, OSError):
        place.check_claim(place.claimed)
        place.fetch()
        step = committed_step(place.folder) or 0
        place.write_record(record.ended(status, step=step, train_s=0, error=error))
        end_live(place.live, status)
