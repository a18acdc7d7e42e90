"""progress.json of a run, in both backends."""

from __future__ import annotations

import json

import pytest

from mimic_ray.base.progress import Progress
from mimic_ray.store.progress_file import (
    ProgressRecord,
    ProgressWriter,
    begin_progress,
    end_progress,
    parse_progress,
    read_progress,
    recorded,
)
from mimic_ray.store.store import open_store


@pytest.fixture
def store(location, monkeypatch):
    opened = open_store(location, "worker-0")
    monkeypatch.setattr(type(opened), "progress_interval_s", 0.0)
    opened.folder.mkdir(parents=True, exist_ok=True)
    yield opened
    opened.close()


def written(store, location) -> ProgressRecord:
    """The progress, as another machine reads it."""
    if store.is_remote:
        store._background.settle()
    return read_progress(location)


def test_without_a_file_there_is_no_progress(store, location):
    assert read_progress(location) is None
    end_progress(store, "stopped")
    assert read_progress(location) is None


def test_steps_and_commits_are_written(store, location):
    begin_progress(store, 100, None)
    assert written(store, location).phase == "start"
    writer = ProgressWriter(store, 100, workers=2)
    writer.phase("profile")
    assert written(store, location).phase == "profile"
    writer.step({"step": 20, "loss": 0.5}, images_per_s=40.0, global_batch=10)
    found = written(store, location)
    assert (found.phase, found.step, found.loss, found.workers) == ("distil", 20, 0.5, 2)
    assert found.seconds_left == 20
    writer.committed(20)
    assert written(store, location).committed_step == 20
    end_progress(store, "finished")
    found = written(store, location)
    assert (found.status, found.seconds_left) == ("finished", None)


def test_workers_that_start_again_are_counted(store, location):
    begin_progress(store, 100, None)
    ProgressWriter(store, 100, workers=1).committed(10)
    assert written(store, location).restarts == 0
    ProgressWriter(store, 100, workers=1)
    found = written(store, location)
    assert (found.restarts, found.committed_step) == (1, 10)
    begin_progress(store, 100, 10)  # a new command counts from 0
    written(store, location)
    ProgressWriter(store, 100, workers=1)
    assert written(store, location).restarts == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"step": 1}'])
def test_anything_else_is_not_a_progress_record(content):
    assert parse_progress(content) is None


def test_keys_of_later_versions_are_ignored():
    content = json.loads(ProgressRecord(5, step=2).content())
    assert parse_progress(json.dumps({**content, "new": 1}).encode()).step == 2


def test_the_preparation_of_a_study_is_reported_and_written(store, location):
    seen = []
    on_progress = recorded(seen.append, store, trials=16)
    steps = [Progress("decode", 9, 9), Progress("profile", 3, 40)]
    for progress in steps:
        on_progress(progress)
    found = written(store, location)
    assert (found.phase, found.done, found.total, found.study) == ("profile", 3, 40, True)
    assert (found.step, found.steps) == (0, 16)
    assert seen == steps


def test_a_file_address_is_a_folder(tmp_path):
    (tmp_path / "run").mkdir()
    begin_progress(open_store(tmp_path / "run", "worker-0"), 100, None)
    assert read_progress(f"file://{tmp_path}/run").steps == 100
