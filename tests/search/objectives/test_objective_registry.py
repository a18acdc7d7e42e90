"""What every objective promises, and what it takes to add one: a file and one line."""

from __future__ import annotations

import pickle
import sys
from io import StringIO
from itertools import permutations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.evaluation.features import features
from mimic_ray.execution.shared_inputs import ArrayImages
from mimic_ray.execution.trial_scores import Scorer
from mimic_ray.method.recipe import Recipe
from mimic_ray.method.student_start import untrained
from mimic_ray.report.study_report import write_study_report
from mimic_ray.report.tables import front_table
from mimic_ray.search.front import choose, pareto_front, rule
from mimic_ray.search.objectives import suspicion_objective
from mimic_ray.search.objectives.objective_registry import (
    OBJECTIVES,
    Objective,
    SearchInputs,
    StudentInputs,
    objectives,
)
from mimic_ray.search.trial import Trial, total
from mimic_ray.store.study_folder import StudyFolder, read_trial, write_table, write_trial
from tests.report.test_study_report import STUDY

COMPUTE = Compute("cpu", "fp32", 1)
HELD_OUT = np.random.default_rng(1).integers(0, 256, (32, 3, 32, 32), dtype=np.uint8)

SPREAD = Objective(
    "maximize",
    lambda student: {"spread": float(student.features.std()), "prepared": student.prepared},
    "The standard deviation of all features.",
    prepare=lambda inputs: len(inputs.trusted),
)
BUILT_IN = ["fidelity", "suspicion"]
NAMES = [*BUILT_IN, "spread"]


@pytest.fixture
def registered(monkeypatch):
    """The one line: a name and where it is defined."""
    monkeypatch.setitem(OBJECTIVES._members, "spread", f"{__name__}:SPREAD")


@pytest.fixture(autouse=True)
def _little_effort(monkeypatch):
    """The full suspicion takes seconds."""
    module = sys.modules[suspicion_objective.suspicion.__module__]
    for effort in ("quick", "full"):
        monkeypatch.setitem(module._BUDGETS, effort, module._Budget(8, 1, 1, 1, 4, 1))
    monkeypatch.setattr(module, "_TEACHER_CANDIDATES", {"full": 1})
    monkeypatch.setattr(module, "_STUDENT_CHANGES", 1)


@pytest.fixture(scope="module")
def teacher():
    return untrained("tiny_resnet", 3).eval()


def search_inputs(teacher):
    trusted = [untrained("tiny_resnet", 4).eval()]
    return SearchInputs(teacher, trusted, ArrayImages(HELD_OUT), COMPUTE, 0)


def test_the_table_has_every_objective():
    assert list(OBJECTIVES) == BUILT_IN


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("registered")
def test_every_objective_measures_itself_and_leaves_the_student(name, teacher):
    objective, student = objectives()[name], untrained("tiny_resnet", 9).eval()
    prepared = objective.prepare(search_inputs(teacher))
    before = {key: value.clone() for key, value in student.state_dict().items()}
    inputs = StudentInputs(
        student,
        ArrayImages(HELD_OUT),
        features(teacher, ArrayImages(HELD_OUT), COMPUTE),
        COMPUTE,
        0,
        "quick",
        pickle.loads(pickle.dumps(prepared)),
    )
    scores = objective.measure(inputs)
    assert np.isfinite(scores[name])
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    assert not {each for each in OBJECTIVES if each != name} & {*scores}
    assert objective.description.endswith(".")


def trial(number, fidelity, suspicion, spread, **fields):
    scores = {"fidelity": fidelity, "suspicion": suspicion, "spread": spread}
    return Trial(f"{number:012x}", number, "finished", {"a": number}, scores=scores, **fields)


# None is beaten in all three; without spread, 2 would be beaten by 1.
TRIALS = [trial(0, 0.8, 0.4, 0.5, base=True), trial(1, 0.9, 0.3, 0.1), trial(2, 0.85, 0.35, 0.9)]
BEATEN = trial(3, 0.8, 0.4, 0.4)


@pytest.mark.usefixtures("registered")
def test_a_registered_objective_counts_in_the_front_the_choice_and_the_total():
    for order in permutations([*TRIALS, BEATEN]):
        assert {t.number for t in pareto_front(order)} == {1, 2}
    # Both leading objectives, suspicion and spread, decide: 2 is near the best of each.
    assert choose([*TRIALS, trial(4, 0.79, 0.3, 0.85)]).number == 4
    assert "the lowest suspicion and the highest spread" in rule()
    assert total(TRIALS[0].scores) == pytest.approx(0.8 - 0.4 + 0.5)
    unknown = Trial("a", 5, "finished", {}, scores={"fidelity": 1.0, "suspicion": 0.0})
    assert not unknown.scored


@pytest.mark.usefixtures("registered")
def test_a_registered_objective_is_scored_and_recorded(teacher, tmp_path, monkeypatch):
    class Found:
        score = universal = inversion = occlusion = 0.25

    monkeypatch.setattr(suspicion_objective, "suspicion", lambda *inputs: Found())
    monkeypatch.setattr(suspicion_objective, "trusted_scores", lambda *inputs, **others: None)

    class Inputs:
        held_out, oracle = HELD_OUT, None
        held_out_features = features(teacher, ArrayImages(HELD_OUT), COMPUTE).numpy()
        effort = "full"
        prepared = {  # noqa: RUF012
            name: objective.prepare(search_inputs(teacher))
            for name, objective in objectives().items()
        }

    scores = Scorer(Inputs(), COMPUTE, seed=0).full(teacher)
    assert scores["prepared"] == 1
    folder = StudyFolder(tmp_path)
    made = Trial("0a", 0, "finished", {}).with_scores(scores)
    write_trial(folder, made)
    assert read_trial(folder, "0a").score("spread") == scores["spread"] > 0
    write_table(folder, [made], chosen="0a", front=set())
    assert pq.read_table(folder.table).to_pylist()[0]["spread"] == scores["spread"]


@pytest.mark.usefixtures("registered")
def test_a_registered_objective_guides_the_search_and_early_stopping(monkeypatch):
    from mimic_ray.distributed import trial_process
    from tests.distributed.test_searcher import Driver
    from tests.distributed.test_trial_process import TASK

    driver = Driver()
    assert [each.name.lower() for each in driver.searcher._study.directions] == [
        objective.direction for objective in objectives().values()
    ]
    suggestion = driver.suggest()
    ray_id = next(iter(driver.suggested))
    scores = {"fidelity": 0.9, "suspicion": 0.1, "spread": 0.7}
    ended = Trial(suggestion.id, 0, "finished", suggestion.settings, scores=scores)
    driver.searcher.trial_ended(ray_id, ended)
    assert driver.searcher._study.trials[0].values == [0.9, 0.1, 0.7]

    reports = []
    monkeypatch.setattr("ray.tune.report", reports.append)
    trial_process._report_to_tune(ended, TASK)
    assert (reports[0]["spread"], reports[0]["total"]) == (0.7, pytest.approx(1.5))


@pytest.mark.usefixtures("registered")
def test_a_registered_objective_is_in_the_report_and_the_tables(tmp_path, monkeypatch):
    from rich.console import Console

    from mimic_ray.report import study_plots, style

    monkeypatch.setattr(
        study_plots, "save_as", lambda plot, to, name: style.save(plot, to / f"{name}.png")
    )
    study = {**STUDY, "recipe": Recipe().model_dump(mode="json"), "oracle": {}}
    page = write_study_report(tmp_path, study, TRIALS, TRIALS[2], "").read_text()
    assert "<th>spread</th>" in page
    assert "The standard deviation of all features." in page
    assert "Fidelity 0.8500, suspicion 0.3500, spread 0.9000." in page
    fronts = {path.name for path in tmp_path.glob("front*.png")}
    assert fronts == {"front.png", "front_fidelity_spread.png", "front_suspicion_spread.png"}
    console = Console(record=True, width=100, file=StringIO())
    console.print(front_table(TRIALS, TRIALS[2]))
    assert "spread" in console.export_text()
