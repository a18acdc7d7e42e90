import pytest

from mimic_ray.base.errors import RecipeError, UnknownNameError, UsageError
from mimic_ray.method.recipe import Recipe, known_keys, parse_recipe
from mimic_ray.store.recipe_file import load_recipe, recipe_names, write_recipe


def test_the_default_file_says_what_the_code_does_without_it():
    assert load_recipe("default") == Recipe()


def test_all_mistakes_come_at_once_with_near_names():
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"training": {"stepz": 3, "batch": 1}, "los": {}})
    assert len(caught.value.problems) == 3
    assert 'no key "training.stepz" (did you mean training.steps' in caught.value.message
    assert "training.batch = 1" in caught.value.message


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(RecipeError, match="nothing to learn"):
        parse_recipe({"loss": {"clone": 0.0}})
    with pytest.raises(RecipeError, match="asymmetric"):
        parse_recipe({"views": {"asymmetric": False}})


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_its_file(tmp_path, name):
    recipe = load_recipe(name)
    write_recipe(tmp_path / "recipe.toml", recipe)
    assert load_recipe(str(tmp_path / "recipe.toml")) == recipe


def test_both_recipes_come_with_the_package():
    assert {"default", "official"} <= set(recipe_names())


def test_overrides_reach_every_kind_of_value():
    recipe = load_recipe(
        "default", ["training.steps=7", "student.start=random", 'adversary.bases=["pixel"]']
    )
    assert recipe.training.steps == 7
    assert recipe.student.start == "random"
    assert recipe.adversary.bases == ("pixel",)


def test_bad_names_and_overrides_are_one_sentence():
    with pytest.raises(UnknownNameError, match="official"):
        load_recipe("oficial")
    with pytest.raises(UsageError, match="KEY=VALUE"):
        load_recipe("default", ["training.steps"])
    with pytest.raises(UsageError, match="no recipe file"):
        load_recipe("nowhere/mine.toml")


def test_every_key_can_be_named():
    assert "perturbations.patch.probability" in known_keys()
    assert "training.steps" in known_keys()
