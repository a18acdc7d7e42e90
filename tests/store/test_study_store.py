"""A study in both backends: driver and trials see each other's records."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.base.storage import open_storage
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.store.progress_file import ProgressRecord, read_progress, write_progress
from mimic_ray.store.study_folder import read_study, read_trials
from mimic_ray.store.study_store import open_study
from tests.store.example_studies import example_trial, study_record


@pytest.fixture
def study(location):
    made = open_study(location, "driver")
    made.require_free()
    made.create(study_record())
    yield made
    made.close()


@pytest.fixture
def process(location):
    """The study in the process of a trial."""
    opened = open_study(location, "trial")
    yield opened
    opened.close()


@pytest.mark.usefixtures("study")
def test_a_location_with_a_study_is_refused(process):
    with pytest.raises(RunFolderError, match=r"holds another study: continue it with resume=True"):
        process.require_free()


def test_the_process_of_a_trial_gets_its_task_and_recipe(study, process):
    recipe = parse_recipe({"training": {"steps": 40}}, "test")
    study.write_trial(example_trial())
    study.write_task(example_trial().id, {"rungs": [3]})
    study.write_recipe(example_trial().id, recipe)
    assert process.read_task(example_trial().id) == {"rungs": [3]}
    assert process.read_recipe(example_trial().id) == recipe
    assert process.run(example_trial().id) == f"{study.address}/trials/{example_trial().id}"


@pytest.mark.usefixtures("study")
def test_a_machine_that_does_not_see_the_study_says_so(process):
    with pytest.raises(RunFolderError, match=r"task\.json is missing: do all machines see"):
        process.read_task("0" * 12)


def test_the_driver_reads_what_a_trial_wrote(study, process):
    assert study.read_trial(example_trial().id) is None
    process.write_trial(example_trial(scores={"fidelity": 0.5}))
    assert study.read_trial(example_trial().id).score("fidelity") == 0.5
    process.write_trial(example_trial(scores={"fidelity": 0.7}))
    assert study.read_trial(example_trial().id).score("fidelity") == 0.7


def test_a_resumed_study_has_all_records(study, location):
    for number in range(3):
        study.write_trial(example_trial(number))
    again = open_study(location, "again")
    again.fetch()
    assert read_study(again.folder) == read_study(study.folder)
    assert [trial.number for trial in read_trials(again.folder)] == [0, 1, 2]
    again.close()


def test_results_are_published_and_the_end_is_shown(study, location):
    (study.folder.path / "report.html").write_text("a report")
    study.folder.tensorboard.mkdir()
    (study.folder.tensorboard / "events.out.tfevents.1").write_text("")
    study.publish_results()
    write_progress(study.store, ProgressRecord(4))
    if study.store.is_remote:
        study.store._background.settle()
    study.write_record(study_record().ended("finished", 1.0))
    if study.store.is_remote:
        study.store._background.settle()
    names = [found.name for found in open_storage(location).list()]
    assert {"report.html", "study.json", "tensorboard/events.out.tfevents.1"} <= {*names}
    assert read_progress(location).status == "finished"


def test_checkpoints_of_a_trial_are_deleted(study, location):
    study.write_trial(example_trial())
    name = f"trials/{example_trial().id}/checkpoints/latest.json"
    open_storage(location).write(name, b"{}")
    study.delete_checkpoints(example_trial().id)
    assert not open_storage(location).exists(name)
