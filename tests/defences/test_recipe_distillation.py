from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from mimic_ray.base.errors import StoppedError
from mimic_ray.data.views import centre, to_float
from mimic_ray.defences import recipe_distillation
from mimic_ray.defences.recipe_distillation import (
    distil_by_recipe,
    recipe_with,
    tap_weights,
)
from mimic_ray.method.estimators.gaussian import Gaussian
from mimic_ray.method.mi_profile import profile, score_taps
from mimic_ray.method.student_start import untrained
from mimic_ray.scanning.training_changes import NOT_SEARCHED
from mimic_ray.store.recipe_file import load_recipe
from tests.support.small_defence_inputs import defence_inputs, pixels


def test_a_recipe_of_the_package_is_changed_in_the_named_keys_only():
    assert recipe_with("official", {}) == load_recipe("official")
    changed = recipe_with("official", {"training.steps": 7, "mutual_information.of": "teacher"})
    assert changed == load_recipe(
        "official", ["training.steps=7", 'mutual_information.of="teacher"']
    )


@pytest.mark.parametrize("of", ["teacher", "student"])
def test_taps_have_the_weights_of_a_profile(of):
    inputs = replace(defence_inputs(), seed=2)
    recipe = recipe_with(
        "default",
        {"loss.attention.weight": 1.0, "mutual_information.of": of, "training.seed": 2},
    )
    found = tap_weights(inputs, recipe, inputs.compute)
    images = [centre(to_float(pixels()), 32)]
    expected = profile(inputs.suspect, untrained("tiny_resnet", 2), images, recipe, inputs.compute)
    assert found == pytest.approx(expected.weights())
    assert torch.tensor([*found.values()]).sum().item() == pytest.approx(1, abs=1e-5)


def test_a_stop_request_is_heard_before_the_first_step(monkeypatch):
    """In the profile and in the search for openings."""

    def stop(done, total):
        assert (done, total) == (0, 3)
        raise StoppedError("stopped")

    def search(*inputs):
        inputs[-1](1, 100)
        pytest.fail("the search went on")

    inputs = replace(defence_inputs(), on_step=stop)
    recipe = recipe_with(
        "default",
        {"training.steps": 3, "training.batch": 8, "loss.attention.weight": 1.0},
    )
    with pytest.raises(StoppedError):
        distil_by_recipe(inputs, recipe)
    monkeypatch.setattr(recipe_distillation, "training_changes", search)
    with pytest.raises(StoppedError):
        distil_by_recipe(inputs, recipe, weights={})


def test_the_layers_of_the_recipe_mimic_have_weights_by_the_suspect_s_mutual_information():
    inputs = defence_inputs()
    recipe = recipe_with("mimic", {"training.steps": 1, "training.batch": 8, "openings.share": 0.0})
    images = [centre(to_float(pixels()), 32)]
    scores = score_taps(
        inputs.suspect, images, Gaussian(**recipe.estimators.own("gaussian")), inputs.compute, 0
    )
    by_score = {t: s / sum(scores) for t, s in zip(inputs.suspect.spec.taps, scores, strict=True)}
    assert max(by_score.values()) > 1.2 * min(by_score.values())  # they are not uniform

    def weights_of(found: Mapping[str, float] | None) -> torch.Tensor:
        return distil_by_recipe(inputs, recipe, found).encoder.net.conv1.weight.data

    # The last bit of a score depends on the number of threads.
    made, uniform = weights_of(None), weights_of(dict.fromkeys(by_score, 1 / len(by_score)))
    apart = [float((made - other).norm()) for other in (weights_of(by_score), uniform)]
    assert apart[0] < 0.1 * apart[1]


@pytest.mark.parametrize(("share", "notes"), [(0.5, (NOT_SEARCHED,)), (0.0, ())])
def test_a_set_too_small_for_openings_is_a_note_where_the_recipe_wants_them(share, notes):
    recipe = recipe_with(
        "default", {"training.steps": 1, "training.batch": 8, "openings.share": share}
    )
    assert distil_by_recipe(defence_inputs(), recipe).notes == notes
