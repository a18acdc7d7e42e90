import pickle

import pytest

from mimic_ray.base.errors import RecipeError, UsageError
from mimic_ray.method.recipe import Recipe, check_recipe, parse_recipe, user_members


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(RecipeError, match="nothing to learn"):
        parse_recipe({"loss": {"clone": 0.0}})
    with pytest.raises(RecipeError, match="asymmetric"):
        parse_recipe({"views": {"asymmetric": False}})
    with pytest.raises(RecipeError, match="some would be empty"):
        parse_recipe({"training": {"batch": 4, "accumulate": 5}})
    with pytest.raises(RecipeError, match="needs a loss term with a second view"):
        parse_recipe({"views": {"repeat_statistics": True}})


def test_a_term_that_needs_the_whole_batch_refuses_to_be_computed_in_parts():
    sections = {"training": {"batch": 8, "accumulate": 2}}
    with pytest.raises(RecipeError, match=r'loss\.contrastive\.negatives = "local"'):
        parse_recipe({**sections, "loss": {"contrastive": 1.0}})
    parse_recipe({**sections, "loss": {"contrastive": {"weight": 1.0, "negatives": "local"}}})


def test_workers_must_be_able_to_share_a_batch():
    recipe = parse_recipe({"training": {"batch": 4, "accumulate": 2}})
    check_recipe(recipe, workers=2)
    with pytest.raises(UsageError, match=r"training\.batch = 4 with workers=3 and .* without an"):
        check_recipe(recipe, workers=3)
    local = {"contrastive": {"weight": 1.0, "negatives": "local"}}
    with pytest.raises(UsageError, match="needs two images in each part"):
        check_recipe(parse_recipe({"training": {"batch": 3}, "loss": local}), workers=2)


def test_an_unknown_estimator_is_answered_with_the_near_one():
    with pytest.raises(RecipeError, match='no estimator "gausian"'):
        parse_recipe({"mutual_information": {"estimator": "gausian"}})


def test_reading_a_recipe_runs_no_file_and_checking_it_does(tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "mine.py").write_text(
        f"import pathlib\npathlib.Path({str(ran)!r}).touch()\ndef term(inputs):\n    return 0\n"
    )
    name = f"{tmp_path / 'mine.py'}:term"
    recipe = parse_recipe({"loss": {name: 0.5}})
    assert user_members(recipe) == [name]
    assert not ran.exists()
    check_recipe(recipe)
    assert ran.exists()


@pytest.mark.parametrize(
    "section",
    [
        {"loss": {"nowhere.py:term": 0.5}},
        {"perturbations": {"nowhere.py:dots": {"probability": 0.5}}},
        {"mutual_information": {"estimator": "nowhere.py:Mine"}},
    ],
)
def test_a_users_file_that_is_missing_is_found_before_the_start(section):
    with pytest.raises(UsageError, match=r"nowhere\.py"):
        check_recipe(parse_recipe(section))


def test_a_recipe_survives_pickling():
    recipe = parse_recipe({"loss": {"mine.py:term": {"weight": 0.5, "margin": 2}}})
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert pickle.loads(pickle.dumps(Recipe())) == Recipe()


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"training": {"stepz": 3, "batch": 1}},
            r'recipe: training\.batch = 1: .*; there is no key "training\.stepz" \(did you mean',
        ),
        (
            {"perturbations": {"pach": {}}},
            r'no key "perturbations\.pach" \(did you mean',
        ),
        ({"loss": {"clone": 0}}, "recipe: loss: all weights are 0"),
        ({"training": 3}, "recipe: training = 3: must be a table"),
    ],
)
def test_a_wrong_recipe_in_python_raises_the_error_of_a_recipe_file(tables, words):
    for make in (lambda: Recipe(**tables), lambda: Recipe.model_validate(tables)):
        with pytest.raises(RecipeError, match=words) as caught:
            make()
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__, "pydantic's own report would be shown too"


def test_a_recipe_from_something_else_than_tables_is_refused():
    with pytest.raises(RecipeError, match="recipe = 3: must be a table"):
        Recipe.model_validate(3)


def test_a_recipe_is_made_of_tables_or_of_another_one():
    made = Recipe(training={"steps": 7})
    assert made.training.steps == 7
    assert Recipe.model_validate(made) == made
    assert Recipe(**made.model_dump()) == made
