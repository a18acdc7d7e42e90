"""What `--effort quick` changes in a recipe, and what it leaves."""

from __future__ import annotations

import pytest

from mimic_ray.method.quick_recipe import at_effort
from mimic_ray.method.recipe import Recipe
from mimic_ray.store.recipe_file import load_recipe


def test_full_effort_is_the_recipe_itself():
    recipe = Recipe(training={"steps": 7})
    assert at_effort(recipe, "full") is recipe


@pytest.mark.parametrize(("steps", "quick"), [(600, 200), (601, 201), (1, 1), (15_000, 5_000)])
def test_quick_effort_takes_a_third_of_the_steps(steps, quick):
    assert at_effort(Recipe(training={"steps": steps}), "quick").training.steps == quick


def test_only_steps_the_images_of_the_profile_and_the_search_for_openings_change():
    full, quick = Recipe().model_dump(), at_effort(Recipe(), "quick").model_dump()
    changed = [
        (section, key)
        for section, table in full.items()
        for key in table
        if table[key] != quick[section][key]
    ]
    assert changed == [
        ("openings", "effort"),
        ("mutual_information", "images"),
        ("training", "steps"),
    ]
    few = at_effort(Recipe(mutual_information={"images": 100}), "quick")
    assert few.mutual_information.images == 100


def test_settings_of_the_user_are_not_changed(tmp_path):
    given = load_recipe("default", ["training.steps=600"], effort="quick")
    assert (given.training.steps, given.mutual_information.images) == (600, 512)
    assert load_recipe("default", effort="quick").training.steps == 200
    file = tmp_path / "own.toml"
    file.write_text("[training]\nsteps = 90\n")
    assert load_recipe(file, effort="quick").training.steps == 30
