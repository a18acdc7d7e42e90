import tomllib
from pathlib import Path

import pytest

from mimic_ray.base.errors import RecipeError
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.recipe_keys import (
    is_known_key,
    join_key,
    known_keys,
    read_key,
    recipe_keys,
    section_titles,
    set_key,
    split_key,
    whole_key,
)

CONFIGS = Path(__file__).parents[2] / "configs"


def test_all_mistakes_come_at_once_with_near_names():
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"training": {"stepz": 3, "batch": 1}, "los": {}, "loss": {"clon": 1}})
    assert len(caught.value.problems) == 4
    assert 'no key "training.stepz" (did you mean training.steps' in caught.value.message
    assert "training.batch = 1" in caught.value.message
    assert 'no key "loss.clon" (did you mean loss.clone' in caught.value.message


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("training.stepz", r"training.steps\?"),
        ("steps", "training.steps"),
        ("learningrate", "training.learning_rate"),
        ("perturbations.pach.probability", "perturbations.patch"),
        ("trainnig.batch", "training"),
        ("loss.clon", "loss.clone"),
    ],
)
def test_an_unknown_key_brings_the_near_one(key, near):
    content = {}
    set_key(content, key, 5)
    with pytest.raises(RecipeError, match=rf"did you mean {near}( or |\?\)|\))"):
        parse_recipe(content)


@pytest.mark.parametrize("key", ["trainnig", "view.s", "training.step", "adversary.slot", "los"])
def test_a_table_is_never_offered_for_a_key(key):
    tables = {known.rpartition(".")[0] for known in known_keys()}
    tables |= {table.partition(".")[0] for table in tables}
    with pytest.raises(RecipeError) as caught:
        parse_recipe({key: 5})
    (problem,) = caught.value.problems
    offered = problem.partition("did you mean ")[2].removesuffix("?)").split(" or ")
    assert not tables & {*offered}, problem


def test_a_key_that_is_only_like_a_table_says_how_its_keys_begin():
    with pytest.raises(
        RecipeError, match=r'"view" \(the keys of the table views begin with views\.\)'
    ):
        parse_recipe({"view": 5})


@pytest.mark.parametrize("value", [None, True, 1.5, -1, 1e400, "text", [], ["text"], {"a": 1}, 7])
def test_what_is_wrong_with_a_value_is_said_in_our_words(value):
    """Every key, with values of every type of TOML and beyond its bounds."""
    refused = 0
    for key in known_keys():
        content = {}
        set_key(content, key, value)
        try:
            parse_recipe(content)
        except RecipeError as error:
            refused += 1
            for problem in error.problems:
                words = problem.partition(": ")[2] or problem
                assert "nput" not in words, problem
                assert "should" not in words, problem
                assert "valid" not in words, problem
    assert refused > 3


@pytest.mark.parametrize(
    ("dotted", "parts"),
    [
        ("training.steps", ("training", "steps")),
        ("loss.clone", ("loss", "clone", "weight")),
        ('loss."my.py:spread"', ("loss", "my.py:spread", "weight")),
        ('perturbations."my.py:dots".probability', ("perturbations", "my.py:dots", "probability")),
    ],
)
def test_a_dotted_key_is_read_as_toml_reads_it(dotted, parts):
    assert split_key(dotted) == parts
    assert split_key(join_key(parts)) == parts


@pytest.mark.parametrize("dotted", ["", "training.", "my.py:x", "a b", "x = 1\ny"])
def test_what_is_not_a_key_is_refused(dotted):
    with pytest.raises(RecipeError, match="not a key"):
        split_key(dotted)


def test_a_weight_leaves_the_other_settings_of_a_term():
    content = {"loss": {"attention": {"weight": 0.0, "over": "mean"}, "contrastive": 1.0}}
    set_key(content, "loss.attention", 2.0)
    set_key(content, "loss.contrastive.temperature", 0.1)
    set_key(content, "loss.clone", {"weight": 0.5})
    assert content["loss"] == {
        "attention": {"weight": 2.0, "over": "mean"},
        "contrastive": {"weight": 1.0, "temperature": 0.1},
        "clone": {"weight": 0.5},
    }
    assert read_key(content, "loss.attention") == 2.0


def test_a_value_in_the_way_of_a_table_is_named():
    with pytest.raises(RecipeError, match='"steps" is a value, not a table'):
        set_key({"training": {"steps": 3}}, "training.steps.more", 1)


def test_every_key_of_a_user_s_own_member_is_known():
    assert is_known_key('loss."my.py:spread".margin')
    assert is_known_key(whole_key("loss.clone"))
    assert not is_known_key("loss.clone.margin")
    assert not is_known_key('training."my.py:steps".x')


def test_the_list_of_keys_is_that_of_the_complete_recipe():
    def leaves(table, prefix=""):
        for name, value in table.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield prefix + name

    assert known_keys() == list(leaves(Recipe().model_dump(mode="json")))


def test_every_key_has_a_description_and_its_default_keeps_its_bounds():
    for key in recipe_keys():
        assert key.description, key
        assert key.kind, key
    bounds = {key.key: key.bounds for key in recipe_keys()}
    assert bounds["training.steps"] == ">= 1"
    assert bounds["views.shift"] == ">= 0, <= 1"
    kinds = {key.key: key.kind for key in recipe_keys()}
    assert kinds["loss.contrastive.negatives"] == "global | local"
    assert kinds["adversary.bases"] == "list of pixel | fourier | coarse | patch"


def test_every_section_has_a_title():
    assert list(section_titles()) == list(Recipe.model_fields)
    assert all(section_titles().values())


def test_the_default_file_shows_every_key():
    shown = tomllib.loads((CONFIGS / "default.toml").read_text())
    missing = []
    for key in known_keys():
        try:
            read_key(shown, key)
        except KeyError:
            missing.append(key)
    assert missing == []
