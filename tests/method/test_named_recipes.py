from __future__ import annotations

from mimic_ray.method.named_recipes import recipe_for, recipe_names, recipe_tables
from mimic_ray.store.recipe_file import load_recipe


def test_the_tables_of_each_recipe_are_those_that_the_recipe_file_reads():
    assert "official" in recipe_names()
    for name in recipe_names():
        assert load_recipe(name).training.steps == _steps(name)


def _steps(name: str) -> int:
    return recipe_tables(name).get("training", {}).get("steps", 600)


def test_mimic_is_the_default_with_attention_weighted_by_the_teacher_s_mutual_information():
    mimic = load_recipe("mimic")
    assert mimic == load_recipe("default", ["loss.attention.weight=1.0"])
    assert (mimic.mutual_information.of, mimic.mutual_information.estimator) == (
        "teacher",
        "gaussian",
    )


def test_large_images_get_the_recipe_for_them():
    assert [recipe_for(side) for side in (None, 32, 95, 96, 224)] == [
        *["default"] * 3,
        *["imagenet"] * 2,
    ]
