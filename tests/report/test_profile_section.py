"""What the card says about mutual information and the profile."""

from __future__ import annotations

import dataclasses

import pytest

from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.report.profile_section import mutual_information_sentence, profile_section
from mimic_ray.store.profile_file import write_profile

READS_LAYERS = {"clone": 1.0, "attention": 1.0}


def recipe_with(**settings):
    return parse_recipe({"loss": READS_LAYERS, "mutual_information": settings})


def test_a_loss_that_reads_no_layer_uses_no_mutual_information():
    said = mutual_information_sentence(Recipe())
    assert "was not used: no term of the loss reads a layer" in said


@pytest.mark.parametrize(
    ("of", "where"),
    [("teacher", "in the teacher,"), ("student", "in the same network with random weights,")],
)
def test_the_card_names_the_network_whose_scores_weighted_the_layers(of, where):
    said = mutual_information_sentence(recipe_with(of=of, estimator="gaussian"))
    assert where in said
    assert "weighted them (`mutual_information.estimator`: gaussian)" in said


def test_equal_weights_are_not_called_mutual_information():
    said = mutual_information_sentence(recipe_with(estimator="uniform"))
    assert said.startswith("Mutual information was not used: the layers that the loss reads have")


def test_nothing_is_claimed_about_a_loss_of_the_users_own():
    recipe = parse_recipe({"loss": {"clone": 1.0, "mine.py:term": 1.0}})
    assert "was not used" not in mutual_information_sentence(recipe)


def test_weights_are_shown_only_if_they_had_an_effect(folder):
    assert "| Tap | Score | Untrained | Share |\n" in profile_section(folder, Recipe())
    assert "| Share | Weight |\n" in profile_section(folder, recipe_with())


def test_shares_of_the_untrained_network_are_said_to_be_its_own(folder, profile):
    own = "follow from the scores of the untrained network"
    assert own not in profile_section(folder, recipe_with())
    write_profile(folder.profile, dataclasses.replace(profile, of="student"))
    assert own in profile_section(folder, recipe_with(of="student"))


def test_the_uniform_estimator_claims_no_dependence(folder, profile):
    write_profile(folder.profile, dataclasses.replace(profile, estimator="uniform"))
    said = profile_section(folder, recipe_with(estimator="uniform"))
    assert "gives all taps the same score" in said
    assert "How strongly" not in said
