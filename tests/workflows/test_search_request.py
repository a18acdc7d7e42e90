"""The checks of a search that read no file, and its search space."""

from __future__ import annotations

import pytest

from mimic_ray.base.errors import RecipeError, ResourceError, UnknownNameError, UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.workflows.search_request import SearchRequest, search_spec


def request(**fields):
    return SearchRequest("tiny_resnet", "suspect.pth", "images", **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"trials": 0}, "trials=0 must be at least 1"),
        ({"failed_share": 1.5}, "failed_share=1.5 must be between 0 and 1"),
        ({"resources": Resources(local=True)}, "local=True does not apply to a search"),
        ({"resources": Resources(ray=True)}, "ray=True does not apply to a search"),
        ({"resources": Resources(strategy="fsdp", workers=2)}, "strategy=fsdp does not apply"),
        ({"resources": Resources(min_workers=1, workers=2)}, "min_workers=1 does not apply"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields, words):
    with pytest.raises(UsageError, match=words):
        request(**fields).check()


def test_an_unknown_tracker_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="mlflow"):
        request(trackers=["mlfow"]).check()


def test_a_tracker_that_is_not_installed_is_refused_with_the_command(monkeypatch):
    monkeypatch.setattr("mimic_ray.report.trackers.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install wandb"):
        request(trackers=["wandb"]).check()


def test_a_trial_larger_than_this_machine_is_refused_before_ray_starts(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(ResourceError, match="No trial fits"):
        request(resources=Resources(cpus_per_worker=3)).check()
    request(resources=Resources(cpus_per_worker=3, address="10.0.0.1:6379")).check()


@pytest.mark.parametrize(
    ("encoder", "steps"), [("tiny_resnet", "default"), ("tiny_resnet@224", "imagenet")]
)
def test_the_auto_recipe_is_chosen_by_the_encoders_input_size(encoder, steps):
    from mimic_ray.store.recipe_file import load_recipe

    spec = search_spec(SearchRequest(encoder, "suspect.pth", "images"))
    assert spec.base.training.steps == load_recipe(steps).training.steps


def test_views_repeat_so_that_the_teachers_outputs_can_be_cached():
    assert search_spec(request()).base.views.fixed == 4
    assert search_spec(request(settings=["views.fixed=2"])).base.views.fixed == 2


def test_a_search_entry_adds_a_key_and_only_these_removes_all_others():
    entry = "training.learning_rate=loguniform(1e-4,1e-2)"
    added = search_spec(request(search=[entry])).space(None).described()
    assert "training.learning_rate" in added
    assert len(added) > 1
    alone = search_spec(request(search=[entry], only_these=True)).space(None).described()
    assert list(alone) == ["training.learning_rate"]


def test_a_fixed_key_is_not_searched():
    spec = search_spec(request(settings=["loss.attention=0"]))
    assert "loss.attention.weight" not in spec.space(None).described()
    assert not spec.may_read_taps()
    assert search_spec(request()).may_read_taps()


def test_trials_with_other_estimate_settings_have_their_own_profiles():
    assert not search_spec(request()).has_own_profiles()
    entry = "estimators.infonce.epochs=int(5,9)"
    assert search_spec(request(search=[entry])).has_own_profiles()


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"search": ["training.learning_rate"]}, UsageError, "expected KEY=VALUES"),
        ({"search": ["=uniform(0,1)"]}, UsageError, "expected KEY=VALUES"),
        ({"settings": ["training.stepz=5"]}, RecipeError, "training.stepz"),
        ({"recipe": "defualt"}, UnknownNameError, "default"),
    ],
)
def test_mistakes_are_found_before_a_file_is_read(fields, error, words):
    with pytest.raises(error, match=words):
        search_spec(request(**fields))
