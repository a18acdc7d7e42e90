"""A search from its arguments to its results, on a fake cluster whose trials end at once."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mimic_ray.base import devices
from mimic_ray.base.errors import (
    DataError,
    RunFolderError,
    StoppedError,
    TrainingError,
    UsageError,
)
from mimic_ray.data.left_out import LeftOut
from mimic_ray.method.recipe import Recipe
from mimic_ray.search.space import Dimension
from mimic_ray.search.trial import Trial
from mimic_ray.store.study_folder import StudyFolder, read_study, read_trials
from mimic_ray.weight_files import sandbox
from mimic_ray.workflows import run_search, study_outcome
from mimic_ray.workflows.prepare_search import PreparedSearch
from mimic_ray.workflows.tune import _check_views, tune

PREPARED = PreparedSearch(
    ["layer1", "layer2"], [0.4, 0.6], 123, devices.choose("cpu"), ["No openings."]
)
SMALL = ["training.batch=8", "training.steps=16"]


def trial(number, **fields):
    scores = {"fidelity": 0.8, "suspicion": fields.pop("suspicion", 0.4)}
    made = Trial(f"{number:012x}", number, "finished", {}, base=number == 0, scores=scores)
    return replace(made, **fields)


@pytest.fixture
def cluster(monkeypatch):
    """A fake cluster that calls `before(study)`, writes `trials` and records each plan."""
    world = SimpleNamespace(trials=[trial(0), trial(1)], plans=[], known=[], before=lambda study: 0)

    def run(study, plan, known, inputs, _on_search_progress):
        assert inputs == "inputs"
        world.plans.append(plan)
        world.known = known
        world.before(study)
        for made in world.trials:
            study.write_trial(made)
            study.write_recipe(made.id, Recipe())

    @contextmanager
    def search_cluster(*_):
        yield SimpleNamespace(prepare=lambda make, study: (PREPARED, "inputs"), run=run)

    monkeypatch.setattr(run_search, "search_cluster", search_cluster)
    return world


@pytest.fixture(scope="module", autouse=True)
def _one_reader():
    """Uses one child process to read the checkpoints of all tests."""
    with sandbox.shared():
        yield


@pytest.fixture(autouse=True)
def _report(request, monkeypatch):
    """Replaces the report, whose plots take seconds, except for one test."""
    if "real_report" in request.fixturenames:
        return

    def write(folder, *_):
        (folder / "report.html").write_text("a report")
        return folder / "report.html"

    monkeypatch.setattr(study_outcome, "write_study_report", write)


@pytest.fixture
def real_report():
    """Requests a real report."""


@pytest.fixture
def search(case, tmp_path):
    def run(**options):
        return tune(
            "tiny_resnet",
            case / "teacher.pth",
            case / "images",
            tmp_path / "study",
            **{"settings": SMALL, "trials": 2, **options},
        )

    run.folder = StudyFolder(tmp_path / "study")
    return run


@pytest.mark.usefixtures("cluster")
def test_what_is_beside_the_images_is_in_the_record(case, tmp_path):
    shutil.copytree(case / "images", tmp_path / "images")
    (tmp_path / "images" / "notes.txt").write_text("")
    out = tmp_path / "study"
    tune("tiny_resnet", case / "teacher.pth", tmp_path / "images", out, settings=SMALL, trials=2)
    record = read_study(StudyFolder(out))
    assert record.left_out == {"not an image": LeftOut(1, "notes.txt")}


@pytest.mark.usefixtures("real_report")
def test_a_search_ends_with_the_chosen_recipe_a_report_and_a_record(cluster, search):
    cluster.trials = [trial(0), trial(1, suspicion=0.1)]
    found = search()
    assert (found.chosen.number, len(found.trials)) == (1, 2)
    assert found.best.exists()
    assert "No openings." in found.report.read_text()
    record = read_study(search.folder)
    assert (record.status, record.taps, record.shares) == (
        "finished",
        ["layer1", "layer2"],
        [0.4, 0.6],
    )
    assert (record.trials, record.teacher_forwards) == (2, 123)
    assert record.notes == found.record.notes == ["No openings."]
    (plan,) = cluster.plans
    assert (plan.trials, plan.shares, plan.base.training.batch) == (2, [0.4, 0.6], 8)


def test_a_resumed_search_keeps_its_trials_and_profile(cluster, search):
    search()
    cluster.trials = [trial(2)]
    found = search(resume=True, trials=3)
    assert [made.number for made in cluster.known] == [0, 1]
    assert len(found.trials) == 3
    assert read_study(search.folder).trials == 3


def test_a_resumed_search_in_an_exhausted_space_does_not_start_ray(cluster, search):
    search()
    search.folder.best.unlink()
    found = search(resume=True)
    assert found.best.exists()
    assert len(cluster.plans) == 1


@pytest.mark.usefixtures("cluster")
def test_another_study_is_not_continued(search):
    search()
    with pytest.raises(RunFolderError, match=r"held.out"):
        search(resume=True, trials=3, held_out=0.3)
    with pytest.raises(RunFolderError):
        search()


def test_ctrl_c_keeps_the_ended_trials(cluster, search):
    cluster.trials = [trial(0)]
    cluster.before = lambda study: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(StoppedError, match="1 of 2 trials"):
        search()
    assert read_study(search.folder).status == "stopped"
    assert len(read_trials(search.folder)) == 1


def test_too_many_failed_trials_fail_the_search_with_their_settings(cluster, search):
    failed = {"status": "failed", "error": "not finite", "settings": {"training.steps": 7}}
    cluster.trials = [trial(0), trial(1, **failed)]
    with pytest.raises(TrainingError, match=r"1 of 2 .*failed_share=0\.25.*training\.steps=7"):
        search()
    assert read_study(search.folder).status == "failed"


def test_a_search_that_fails_before_its_record_leaves_no_folder(search, monkeypatch):
    def search_cluster(*_):
        raise DataError("no images")

    monkeypatch.setattr(run_search, "search_cluster", search_cluster)
    with pytest.raises(DataError):
        search()
    assert not search.folder.path.exists()


def test_an_error_during_the_search_is_in_the_record(cluster, search):
    def fails(_study):
        raise TrainingError("Ray Tune failed")

    cluster.before = fails
    with pytest.raises(TrainingError):
        search()
    record = read_study(search.folder)
    assert (record.status, record.error) == ("failed", "Ray Tune failed")


def test_fewer_images_than_a_batch_are_refused_before_ray_starts(cluster, search):
    with pytest.raises(DataError, match=r"fewer than one batch of 4096.*lower training\.batch"):
        search(settings=["training.batch=4096"])
    assert not cluster.plans


@pytest.mark.parametrize("side", [32, 224])
def test_kinds_of_views_are_searched_where_they_need_images_of_one_size(side):
    kinds = Dimension("views.kind", "choice", choices=("simclr", "flip_and_shift"))
    spec = SimpleNamespace(base=Recipe(), dimensions=[kinds])
    if side < 64:
        _check_views(spec, side)
        return
    with pytest.raises(UsageError, match=r"views\.kind cannot be searched for images of 224"):
        _check_views(spec, side)
    one = replace(kinds, choices=(Recipe().views.kind,))
    _check_views(SimpleNamespace(base=Recipe(), dimensions=[one]), side)
