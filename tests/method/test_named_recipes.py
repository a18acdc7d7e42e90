from __future__ import annotations

import pytest

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


def test_the_recipe_depends_on_the_size_and_on_batch_norm():
    found = [recipe_for(side, lambda: True) for side in (32, 95, 96, 224)]
    assert found == [*["default"] * 2, *["imagenet"] * 2]
    found = [recipe_for(side, lambda: False) for side in (32, 95, 96, 224)]
    assert found == [*["layer_norm"] * 2, *["imagenet"] * 2]


def test_a_large_network_is_not_built_for_its_recipe():
    def build() -> bool:
        raise AssertionError

    assert recipe_for(224, build) == "imagenet"


@pytest.mark.parametrize(
    ("encoder", "rate"),
    [("cifar_resnet20", 4e-3), ("vit_ti16@64", 1e-3), ("tiny_vit", 1e-3), ("vit_b16", 1e-4)],
)
def test_the_rate_of_auto_is_the_one_for_the_encoder(encoder, rate):
    assert load_recipe("auto", encoder=encoder).training.learning_rate == rate
