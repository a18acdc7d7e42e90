"""A trial in this process, from inputs as a search prepares them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import StoppedError
from mimic_ray.evaluation.features import features
from mimic_ray.execution import preparation
from mimic_ray.execution.setup import profile_images
from mimic_ray.execution.shared_inputs import ArrayImages, OracleInputs, TrialInputs
from mimic_ray.execution.training_control import LocalControl
from mimic_ray.execution.trial_run import TrialTask, run_trial
from mimic_ray.method import loop
from mimic_ray.method.mi_profile import estimate_settings
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.student_start import untrained
from mimic_ray.method.teacher_cache import fill_teacher_cache, teacher_cache_key
from mimic_ray.scanning.training_changes import search_settings
from mimic_ray.search.objectives import suspicion_objective
from mimic_ray.search.relevance import trial_id
from mimic_ray.store.study_folder import StudyFolder, read_trial, write_trial

NAME = "tiny_resnet"
COMPUTE = Compute("cpu", "fp32", 1)
STEPS, RUNGS = 12, (3, 6)


def recipe(**sections):
    training = {"steps": STEPS, "batch": 8, "precision": "fp32", **sections.pop("training", {})}
    return parse_recipe({"training": training, "views": {"fixed": 2}, **sections})


def pictures(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def inputs():
    teacher = untrained(NAME, 3)
    images = ArrayImages(pictures(24, 0), "fingerprint")
    base, held_out = recipe(), pictures(32, 1)
    found = profile_images(NAME, teacher, images, base, COMPUTE, lambda news: None)
    taps = [tap.tap for tap in found.taps]
    key = teacher_cache_key(base, images.fingerprint, NAME)
    return TrialInputs(
        teacher={k: v.numpy() for k, v in teacher.net.state_dict().items()},
        images=images,
        held_out=held_out,
        held_out_features=features(teacher, ArrayImages(held_out), COMPUTE).numpy(),
        profile=found.to_json(),
        profile_settings=estimate_settings(base),
        openings_settings=search_settings(base),
        teacher_cache=fill_teacher_cache(teacher, images, base, taps, COMPUTE, key),
        prepared={},
    )


@pytest.fixture(autouse=True)
def _cheap_suspicion(monkeypatch):
    """A number that depends on all weights: the real one takes seconds."""

    def suspicion(student, *_):
        weights = torch.cat([weight.flatten() for weight in student.parameters()])
        score = float(weights.detach().double().abs().mean().sigmoid())
        return SimpleNamespace(score=score, universal=score, inversion=score, occlusion=score)

    monkeypatch.setattr(suspicion_objective, "suspicion", suspicion)


@pytest.fixture
def study(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    folder.trials.mkdir(parents=True)
    return folder


def task(study, settings=None, rungs=()):
    chosen = settings or recipe()
    return TrialTask(
        study=str(study.path),
        id=trial_id(chosen),
        number=0,
        settings={},
        recipe=chosen.model_dump(mode="json"),
        encoder=NAME,
        rungs=rungs,
        threads=1,
        commit_every=4,
    )


def test_a_trial_is_scored_at_its_rungs_and_at_its_end(study, inputs):
    reports = []
    trial = run_trial(
        task(study, rungs=RUNGS), inputs, control=LocalControl(on_trial=reports.append)
    )
    assert [(r.step, r.status) for r in reports] == [
        (3, "running"),
        (6, "running"),
        (STEPS, "finished"),
    ]
    assert all(0 <= r.score("cosine") <= 1 and 0 <= r.score("suspicion") <= 1 for r in reports)
    assert read_trial(study, trial.id) == trial
    assert (study.trial(trial.id).student).exists()
    assert not study.trial(trial.id).checkpoints.exists()


def test_a_trial_finds_the_users_file_in_the_folder_of_the_command(study, inputs, tmp_path):
    (tmp_path / "mine.py").write_text("def term(inputs):\n    return inputs.student.features.std()")
    mine = task(study, recipe(loss={"mine.py:term": 0.1}), rungs=())
    failed = run_trial(mine, inputs)
    assert failed.status == "failed"
    assert "mine.py" in failed.error
    found = run_trial(replace(mine, code_folder=str(tmp_path)), inputs)
    assert found.status == "finished"


def test_a_trial_with_a_teacher_cache_never_runs_the_teacher(study, inputs, monkeypatch):
    def never(*_):
        raise AssertionError("the teacher ran")

    monkeypatch.setattr(loop, "teacher_forward", never)
    attending = recipe(loss={"attention": 1.0})
    assert run_trial(task(study, attending), inputs).status == "finished"
    assert run_trial(task(study), inputs).status == "finished"


@pytest.mark.parametrize(
    ("openings", "searches"),
    [({}, 0), ({"share": 0.2}, 0), ({"share": 0.0, "kept": 3}, 0), ({"kept": 3}, 1)],
)
def test_a_trial_searches_for_openings_if_the_shared_search_differs(
    study, inputs, monkeypatch, openings, searches
):
    asked = []
    monkeypatch.setattr(preparation, "search_openings", lambda *inputs: asked.append(inputs))
    settings = recipe(openings=openings)
    assert run_trial(task(study, settings), inputs).status == "finished"
    assert len([recipe for _, _, recipe, *_ in asked if recipe.openings.active]) == searches


def test_a_trial_searches_for_openings_if_the_base_recipe_has_none(study, inputs, monkeypatch):
    asked = []
    monkeypatch.setattr(preparation, "search_openings", lambda *inputs: asked.append(inputs))
    run_trial(task(study), replace(inputs, openings_settings={}))
    assert len(asked) == 1


def test_a_trial_with_other_views_runs_the_teacher_in_each_step(study, inputs, monkeypatch):
    calls = []
    real = loop.teacher_forward
    monkeypatch.setattr(loop, "teacher_forward", lambda *inputs: calls.append(1) or real(*inputs))
    run_trial(task(study, recipe(training={"seed": 1})), inputs)
    assert len(calls) == STEPS


def test_a_trial_that_ended_answers_from_its_record(study, inputs, monkeypatch):
    first = run_trial(task(study), inputs)
    monkeypatch.setattr("mimic_ray.execution.trial_run.open_worker", None)
    reports = []
    control = LocalControl(on_trial=reports.append)
    assert run_trial(task(study), inputs, control=control) == first
    assert reports == [first]


def test_an_interrupted_trial_ends_as_an_unbroken_one_does(study, inputs, tmp_path):
    unbroken = run_trial(task(study, rungs=RUNGS), inputs)
    again = StudyFolder(tmp_path / "again")
    again.trials.mkdir(parents=True)
    asked = []
    control = LocalControl(stop_requested=lambda: asked.append(1) or len(asked) > 6)
    cut = run_trial(task(again, rungs=RUNGS), inputs, control=control)
    assert (cut.status, 0 < cut.step < STEPS) == ("running", True)
    before = read_trial(again, cut.id)
    assert (before.status, before.overhead_s > 0) == ("running", True)
    ended = run_trial(task(again, rungs=RUNGS), inputs)
    assert ended.overhead_s > before.overhead_s
    assert ended.scores == unbroken.scores
    assert {*ended.scores} == {
        *("fidelity", "cosine", "overlap", "suspicion", "universal", "inversion", "occlusion")
    }


def test_what_the_search_stopped_stays_stopped(study, inputs):
    """The process of a stopped trial may hear of it only steps later."""
    stopped = []

    def report(trial):
        write_trial(study, replace(trial, status="stopped"))
        stopped.append(trial)

    control = LocalControl(on_trial=report, stop_requested=lambda: bool(stopped))
    ended = run_trial(task(study, rungs=(3,)), inputs, control=control)
    assert ended.status == "stopped"
    assert read_trial(study, ended.id).step == 3


def test_a_loss_that_is_not_finite_is_a_failed_trial_not_an_error(study, inputs):
    wild = recipe(training={"learning_rate": 1e30})
    trial = run_trial(task(study, wild), inputs)
    assert trial.status == "failed"
    assert "not finite" in trial.error
    assert trial.scores == {}


def test_a_trial_that_is_stopped_before_its_first_step_has_not_failed(study, inputs, monkeypatch):
    def stopped(*_arguments, **_settings):
        raise StoppedError("asked to stop")

    monkeypatch.setattr(preparation, "search_openings", stopped)
    own = recipe(openings={"share": 0.5, "kept": 2})
    trial = run_trial(task(study, own), inputs)
    assert (trial.status, trial.error) == ("running", "")
    assert read_trial(study, trial.id).status == "running"


def test_the_threshold_decides_which_layers_are_kept(study, inputs):
    shares = [tap["share"] for tap in inputs.profile["taps"]]
    between = sorted(shares)[1]
    some = recipe(loss={"attention": 1.0}, mutual_information={"threshold": between})
    assert len(run_trial(task(study, some), inputs).kept) == 2
    assert run_trial(task(study), inputs).kept == ()


def test_an_oracle_measures_accuracy_and_attack(study, inputs):
    labels = np.arange(24) % 3
    known = OracleInputs(
        train=pictures(24, 4),
        train_labels=labels,
        test=pictures(24, 5),
        test_labels=labels,
        classes=3,
        mask=np.zeros((3, 32, 32), np.float32),  # every image becomes the same
        add=np.ones((3, 32, 32), np.float32),
        target=0,
    )
    trial = run_trial(task(study), replace(inputs, oracle=known))
    assert trial.score("asr") in (0.0, 100.0)
    assert 0 <= trial.score("acc") <= 100
    assert "asr" not in run_trial(task(study, recipe(training={"seed": 1})), inputs).scores
