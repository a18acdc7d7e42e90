import pytest

from mimic_ray.base.errors import RecipeError
from mimic_ray.method.recipe import known_keys, parse_recipe, set_key


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


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("training.stepz", "training.steps"),
        ("trainnig", "training"),
        ("steps", "training.steps"),
        ("learningrate", "training.learning_rate"),
    ],
)
def test_an_unknown_key_brings_the_near_one(key, near):
    content = {}
    set_key(content, key, 5)
    with pytest.raises(RecipeError, match=f"did you mean {near}"):
        parse_recipe(content)


def test_every_key_can_be_named():
    assert "perturbations.patch.probability" in known_keys()
    assert "training.steps" in known_keys()
