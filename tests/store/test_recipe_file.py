"""Recipes as TOML files, and single keys changed by `KEY=VALUE`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.base.errors import RecipeError, UnknownNameError, UsageError
from mimic_ray.method.recipe import Recipe
from mimic_ray.store.recipe_file import load_recipe, recipe_names, write_recipe


def test_the_default_file_equals_the_defaults_in_code():
    assert load_recipe("default") == Recipe()


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_its_file(tmp_path, name):
    recipe = load_recipe(name)
    write_recipe(tmp_path / "recipe.toml", recipe)
    assert load_recipe(str(tmp_path / "recipe.toml")) == recipe


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nsteps = 7\n", encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert load_recipe(str(path)).training.steps == 7


def test_the_package_contains_its_recipes():
    assert {"default", "imagenet", "layer_norm", "mimic", "official"} == set(recipe_names())


def test_settings_change_every_kind_of_value():
    recipe = load_recipe(
        "default", ["training.steps=7", "student.start=random", 'adversary.bases=["pixel"]']
    )
    assert recipe.training.steps == 7
    assert recipe.student.start == "random"
    assert recipe.adversary.bases == ("pixel",)


def test_bad_names_and_settings_are_one_sentence():
    with pytest.raises(UnknownNameError, match="official"):
        load_recipe("oficial")
    with pytest.raises(UsageError, match="KEY=VALUE"):
        load_recipe("default", ["training.steps"])
    with pytest.raises(UsageError, match="no recipe file"):
        load_recipe("nowhere/mine.toml")


def test_a_file_in_the_folder_is_taken_only_with_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("[training]\nsteps = 7\n")
    with pytest.raises(UsageError, match=r"for mine.txt give \./mine.txt"):
        load_recipe("mine.txt")
    assert load_recipe("./mine.txt").training.steps == 7


def test_a_key_without_its_section_brings_the_whole_key():
    with pytest.raises(RecipeError) as caught:
        load_recipe("auto", ["steps=5"])
    said = caught.value.for_command_line()
    assert said == '--set "steps=5": there is no key "steps" (did you mean training.steps?)'
    assert caught.value.message.startswith('settings="steps=5"')


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["training.batch=8", "training.steps=0", "views.shift=0.1"],
            '--set "training.steps=0": training.steps = 0: must be 1 or more',
        ),
        (
            ["training.stepz=1", "training.batch=8", "training.seed=-1"],
            '--set "training.stepz=1": there is no key "training.stepz" (did you mean '
            'training.steps?); --set "training.seed=-1": training.seed = -1: must be 0 or more',
        ),
        (
            ["training.steps=9", "training.batch=4", "loss.clone=1", "training.accumulate=5"],
            '--set "training.batch=4" and --set "training.accumulate=5": training.accumulate = 5 '
            "parts of training.batch = 4 images: some would be empty",
        ),
        (
            ["training.batch=8", "training.steps.more=1", "views.shift=0.1"],
            '--set "training.steps.more=1": "steps" is a value, not a table',
        ),
    ],
)
def test_only_the_settings_at_fault_are_named(tmp_path, settings, said):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nsteps = 7\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), settings)
    assert caught.value.for_command_line() == said


def test_a_setting_that_mends_another_is_not_named():
    mends = ["training.accumulate=2", "loss.contrastive=1", "loss.contrastive.negatives=local"]
    for place in range(4):
        settings = [*mends[:place], "training.steps=0", *mends[place:]]
        with pytest.raises(RecipeError) as caught:
            load_recipe("default", settings)
        assert caught.value.message == (
            'settings="training.steps=0": training.steps = 0: must be 1 or more'
        )


def test_a_mistake_names_the_file_or_the_settings_wherever_it_is(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nstepz = 7\n")
    with pytest.raises(RecipeError, match=r"mine\.toml: there is no key"):
        load_recipe(str(path), ["training.batch=8"])
    path.write_text("[training]\nsteps = 7\n")
    with pytest.raises(RecipeError, match=r'^settings="training\.batch=1"'):
        load_recipe(str(path), ["training.batch=1"])


def test_a_recipe_object_is_taken_as_it_is_and_can_be_changed():
    mine = Recipe.model_validate({"training": {"steps": 7}})
    assert load_recipe(mine) == mine
    assert load_recipe(mine, ["training.batch=8"]).training.steps == 7
    with pytest.raises(RecipeError, match=r"^settings="):
        load_recipe(mine, ["training.batch=1"])


def test_settings_may_mend_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[training]\naccumulate = 2\n[loss]\ncontrastive = 1.0\n")
    with pytest.raises(RecipeError, match="accumulate"):
        load_recipe(str(path))
    assert load_recipe(str(path), ["training.accumulate=1"]).loss.weight("contrastive") == 1


def test_the_top_level_configs_are_links_to_the_recipes_of_the_package():
    """Links to files: a link to the folder would be left out of the source distribution."""
    root = Path(__file__).parents[2]
    links = {path.name: path for path in (root / "configs").iterdir()}
    assert sorted(path.removesuffix(".toml") for path in links) == recipe_names()
    for name, link in links.items():
        assert link.is_symlink()
        assert link.resolve() == root / "mimic_ray" / "configs" / name
