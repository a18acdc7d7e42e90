"""How a run begins, continues and ends, as its files record it.

A worker restores weights and optimiser from the checkpoint itself: see worker.py.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from mimic_ray.base.errors import DiskError, MimicError, option
from mimic_ray.method.quick_recipe import QUICK_IN_WORDS
from mimic_ray.method.recipe import Recipe
from mimic_ray.store.agreement import agreement, check_agreement
from mimic_ray.store.checkpoint import committed_step, latest
from mimic_ray.store.progress_file import begin_progress, end_progress
from mimic_ray.store.recipe_file import load_recipe, write_recipe
from mimic_ray.store.run_folder import RunFolder
from mimic_ray.store.run_record import RunRecord, Status, read_record
from mimic_ray.store.run_store import RunStore


def begin_run(run: RunStore, record: RunRecord, recipe: Recipe) -> RunRecord:
    """A new run with its two files, or nothing. Raises RunFolderError, DiskError, StorageError."""
    try:
        run.require_free()
        RunFolder.create(run.folder.path, record)
        effort = f"effort quick: {QUICK_IN_WORDS}" if record.effort == "quick" else ""
        write_recipe(run.folder.recipe, recipe, effort)
    except DiskError as error:
        run.store.clear()
        advice = f"Set {option('out')} to a folder on another disk. Nothing was started."
        raise type(error)(error.problem, advice) from error
    # The record first: it marks the location as taken by a run.
    run.store.publish(run.folder.record.name, run.folder.recipe.name)
    run.lease.take()
    begin_progress(run.store, recipe.training.steps, None)
    return record


def continue_run(run: RunStore, record: RunRecord, recipe: Recipe) -> tuple[RunRecord, list[str]]:
    """Continues the run that is stored there; also returns warnings about changed settings.

    A finished run is returned unchanged. Raises RunFolderError if there is no run, or if it has
    other inputs.
    """
    run.fetch()
    folder = RunFolder.open(run.folder.path)
    earlier = read_record(folder.record)
    if not folder.recipe.exists() and committed_step(folder) is None:
        write_recipe(folder.recipe, recipe)  # killed between its first two files
        run.store.publish(folder.recipe.name)
    recorded = load_recipe(str(folder.recipe)).model_dump(mode="json")
    now = recipe.model_dump(mode="json")
    warnings = check_agreement(agreement(earlier, recorded), agreement(record, now))
    if earlier.status == "finished":
        return earlier, []
    run.lease.take()
    folder.remove_leftovers()
    committed = latest(folder)
    resumed = earlier.resumed(committed.step if committed else 0)
    resumed = replace(resumed, workers=record.workers, strategy=record.strategy)
    run.write_record(resumed)
    begin_progress(run.store, recipe.training.steps, committed.step if committed else None)
    return resumed, warnings


def withdraw(run: RunStore) -> None:
    """Removes a run that has no committed step; a run that has one is kept."""
    run.store.shorten_timeouts()
    with suppress(MimicError):  # such as a damaged latest.json: something was committed
        run.lease.check(run.lease.token)
        run.fetch()
        if committed_step(run.folder) is None:
            run.store.clear()


def note_end(
    run: RunStore, record: RunRecord, status: Status, error: str, *, diverged: bool = False
) -> None:
    """Records how an unfinished run ended, in run.json."""
    # No error here may hide the one that is being raised. The folder may be gone.
    run.store.shorten_timeouts()
    with suppress(MimicError, OSError):
        run.lease.check(run.lease.token)
        run.fetch()
        step = committed_step(run.folder) or 0
        ended = record.ended(status, step=step, train_s=0, error=error, diverged=diverged)
        run.write_record(ended)
        end_progress(run.store, status)
