import pytest

from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.search.relevance import canonical, trial_id

SHARES = [0.2, 0.5, 0.3]


def same(left, right):
    ids = {trial_id(canonical(parse_recipe(content), SHARES)) for content in (left, right)}
    return len(ids) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"mutual_information": {"threshold": 0.3}}, {}),  # no attention term reads it
        ({"loss": {"clone": 5.0}}, {"loss": {"clone": 0.1}}),  # Adam does not see the scale
        (
            {"loss": {"attention": 1.0}, "mutual_information": {"threshold": 0.22}},
            {"loss": {"attention": 1.0}, "mutual_information": {"threshold": 0.29}},
        ),
        ({"loss": {"attention": 1.0}, "mutual_information": {"threshold": 0.9}}, {}),  # keeps none
        ({"perturbations": {"blur": {"probability": 0.0, "strength": 2.0}}}, {}),
        ({"perturbations": {"blur": {"probability": 0.5, "strength": 0.0}}}, {}),
        ({"student": {"renewed": 0.3}}, {}),
        ({"adversary": {"share": 0.0, "size": 0.3}}, {"adversary": {"share": 0.0}}),
    ],
)
def test_recipes_that_do_the_same_are_one_trial(left, right):
    assert same(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"loss": {"clone": 5.0, "attention": 1.0}}, {"loss": {"clone": 1.0, "attention": 1.0}}),
        (
            {"training": {"weight_decay": 1e-4}, "loss": {"clone": 5.0}},
            {"training": {"weight_decay": 1e-4}},
        ),
        (
            {"loss": {"attention": 1.0}, "mutual_information": {"threshold": 0.22}},
            {"loss": {"attention": 1.0}, "mutual_information": {"threshold": 0.4}},
        ),
        ({"student": {"start": "partial", "renewed": 0.3}}, {"student": {"start": "partial"}}),
        ({"training": {"seed": 1}}, {}),
    ],
)
def test_recipes_that_differ_are_two(left, right):
    assert not same(left, right)


def test_the_canonical_form_is_its_own():
    once = canonical(parse_recipe({"loss": {"attention": 0.3}}), SHARES)
    assert canonical(once, SHARES) == once
    assert canonical(Recipe(), SHARES) == Recipe()
