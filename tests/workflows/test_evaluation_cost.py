"""The work of a comparison's evaluation, counted by hand, and its part of the cost."""

from __future__ import annotations

import pytest

from mimic_ray.defences.stop_rule import Contest
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.workflows.compare_request import Labels
from mimic_ray.workflows.cost_estimate import CostEstimate
from mimic_ray.workflows.evaluation_cost import LabelledSize, evaluation_work, head_s

SIZE = LabelledSize(train=5000, test=1000, classes=10)
CONTEST = Contest("default", {"default": (), "noise": (1.0, 2.0)}, (0, 1, 2))


def test_each_row_is_measured_as_it_is_distilled_and_tuned():
    labels = Labels("train", "test", trigger="patch", target="0", reference="clean.pth")
    work = evaluation_work(CONTEST, labels, SIZE, clean=2000)
    # 2 defences with 3 seeds, the suspect and the reference; 6 are distilled, 7 tuned.
    assert work.passed == (8 + 6) * (5000 + 2 * 1000) + 7 * 2 * 1000
    # 60 steps of 64 images; 20 epochs of 10 images of each of 10 classes, more than 1 % of 5,000.
    assert work.stepped == 6 * 60 * 64 + 7 * 20 * 100
    assert work.heads == 3 * (8 + 6)


def test_without_what_lasts_only_the_encoders_themselves_are_measured():
    work = evaluation_work(CONTEST, Labels("train", "test", lasting=False), SIZE, clean=2000)
    assert (work.passed, work.stepped, work.heads) == (7 * 6000, 0, 3 * 7)


def test_curves_measure_every_strength_and_the_head_of_the_file_is_not_trained():
    curves = Contest("default", CONTEST.strengths, (0,), curves=True)
    labels = Labels("train", "test", head="own", lasting=False)
    work = evaluation_work(curves, labels, SIZE, clean=2000)
    assert (work.passed, work.stepped, work.heads) == (4 * 1000, 0, 0)


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("name", ["linear", "knn"])
def test_a_head_on_ten_times_the_images_takes_about_ten_times_as_long(name):
    small = min(head_s(name, 8, LabelledSize(3000, 500, 3)) for _ in range(3))
    large = min(head_s(name, 8, LabelledSize(30_000, 500, 3)) for _ in range(3))
    assert 2 < large / small < 50


def test_the_evaluation_is_a_part_of_the_cost_before_a_comparison():
    recipe = parse_recipe({"training": {"steps": 4, "batch": 8}})
    estimate = CostEstimate("tiny_resnet", recipe, "cpu", 1)
    labels = Labels("train", "test", head="own")
    blind = estimate.comparison(recipe, CONTEST, 100, 50)
    cost = estimate.comparison(recipe, CONTEST, 100, 50, labels, SIZE)
    assert [part.name for part in cost.parts] == ["at most 7 runs", "evaluation"]
    assert blind.parts == cost.parts[:1]
    work = evaluation_work(CONTEST, labels, SIZE, 50)
    assert cost.parts[1].images == work.passed + work.stepped
    pace = estimate.pace
    assert cost.parts[1].seconds == pytest.approx(
        work.passed * pace.forward_s + work.stepped * pace.step_s
    )
    trained = estimate.comparison(recipe, CONTEST, 100, 50, Labels("train", "test"), SIZE)
    assert trained.parts[1].seconds > cost.parts[1].seconds
