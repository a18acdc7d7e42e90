"""How a run begins, continues and ends, in both backends of its store."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from mimic_ray.base import files
from mimic_ray.base.errors import DiskFullError, RunFolderError
from mimic_ray.execution.lifecycle import begin_run, continue_run, note_end, withdraw
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.store.run_record import read_record
from mimic_ray.store.run_store import open_run
from tests.store.example_runs import record
from tests.store.stores import location

__all__ = ["location", "record"]

RECIPE = parse_recipe({"training": {"steps": 40}}, "test")


@pytest.fixture
def run(location):
    opened = open_run(location, "driver")
    yield opened
    opened.close()


def stored(location):
    """The record as another machine reads it; None if there is none."""
    other = open_run(location, "other")
    other.fetch()
    return read_record(other.folder.record) if other.folder.record.exists() else None


def test_a_new_run_has_a_record_a_recipe_and_a_lease(run, record, location):
    assert begin_run(run, record, RECIPE) == record
    assert stored(location) == record
    run.lease.check(run.lease.token)
    with pytest.raises(RunFolderError, match="another run"):
        begin_run(open_run(location, "second"), record, RECIPE)


def test_a_run_continues_from_its_last_checkpoint(run, record, location):
    begin_run(run, record, RECIPE)
    run.commit(10, {"step": 10})
    resumed, warnings = continue_run(open_run(location, "second"), record, RECIPE)
    assert (resumed.step, resumed.resumed_from, warnings) == (10, [10], [])
    with pytest.raises(RunFolderError, match="Another command has taken over"):
        run.lease.check(run.lease.token)


def test_other_inputs_are_refused(run, record, location):
    begin_run(run, record, RECIPE)
    with pytest.raises(RunFolderError, match="the encoder was tiny_resnet, is resnet50 now"):
        continue_run(open_run(location, "second"), replace(record, encoder="resnet50"), RECIPE)


def test_a_run_killed_between_its_first_two_files_continues(run, record, location):
    begin_run(run, record, RECIPE)
    run.store.delete("recipe.toml")
    resumed, _ = continue_run(open_run(location, "second"), record, RECIPE)
    assert resumed.step == 0


def test_a_finished_run_is_returned_unchanged(run, record, location):
    begin_run(run, record, RECIPE)
    finished = record.ended("finished", step=40, train_s=1.0)
    run.write_record(finished)
    assert continue_run(open_run(location, "second"), record, RECIPE) == (finished, [])


def test_a_run_without_a_checkpoint_is_withdrawn(run, record, location):
    begin_run(run, record, RECIPE)
    withdraw(run)
    assert stored(location) is None


def test_a_run_with_a_checkpoint_is_not_withdrawn(run, record, location):
    begin_run(run, record, RECIPE)
    run.commit(10, {"step": 10})
    withdraw(run)
    note_end(run, record, "failed", "The disk is full.")
    found = stored(location)
    assert (found.status, found.step, found.error) == ("failed", 10, "The disk is full.")


def test_a_command_whose_run_was_taken_over_writes_nothing(run, record, location):
    begin_run(run, record, RECIPE)
    later = open_run(location, "second")
    continue_run(later, record, RECIPE)
    note_end(run, record, "failed", "It was cut off.")
    withdraw(run)
    assert stored(location).status == "running"


def test_a_full_disk_leaves_nothing(run, record, monkeypatch):
    def full(path, _):
        with files.disk_errors(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(DiskFullError, match=r"out=.*Nothing was started"):
        begin_run(run, record, RECIPE)
    assert not run.folder.path.exists()
