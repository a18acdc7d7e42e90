import optuna
import pytest

from mimic_ray.base.errors import RecipeError
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.recipe_keys import set_key
from mimic_ray.search.kept_layers import distinct_thresholds
from mimic_ray.search.space import (
    Dimension,
    Space,
    changed,
    check_space,
    default_space,
    parse_dimension,
)

BASE = Recipe().model_dump(mode="json")
SHARES = [0.2, 0.5, 0.3]


def space():
    return default_space(Recipe(), distinct_thresholds(SHARES))


def draws(of: Space, count=200, base=BASE):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [of.suggest(study.ask(), base) for _ in range(count)]


@pytest.mark.parametrize(
    "text",
    [
        "uniform(0, 0.5)",
        "loguniform(0.0001, 0.01)",
        "zero_or_loguniform(0.01, 10)",
        "zero_or_uniform(0.1, 0.8)",
        "int(2, 9)",
        "choice(teacher, partial)",
        "choice(1, 2.5)",
        "choice(true, false)",
    ],
)
def test_what_a_dimension_prints_is_what_a_user_may_write(text):
    dimension = parse_dimension("loss.attention", text)
    assert str(dimension) == text
    assert parse_dimension("loss.attention", str(dimension)) == dimension


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("training.learning_rat", "uniform(0,1)", "did you mean training.learning_rate"),
        ("loss.clone", "normal(0,1)", "is not one of uniform"),
        ("loss.clone", "uniform(1)", "takes two numbers"),
        ("loss.clone", "uniform(a,b)", "takes two numbers"),
        ("loss.clone", "uniform(2,1)", "empty"),
        ("loss.clone", "uniform(1,1)", "empty"),
        ("loss.clone", "uniform(0,inf)", "takes two numbers"),
        ("loss.clone", "loguniform(0,1)", "zero_or_loguniform"),
        ("loss.clone", "choice()", "no value"),
        ("training.batch", "int(1.5,4)", "whole numbers"),
    ],
)
def test_a_dimension_that_cannot_be_is_refused_with_the_way_out(key, text, words):
    with pytest.raises(RecipeError, match=words.replace("(", r"\(")):
        parse_dimension(key, text)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("perturbations.patch.probability", "uniform(0.5, 1.5)"),
        ("student.start", "choice(teacher,unknown)"),
        ("training.batch", "int(1, 64)"),
    ],
)
def test_bounds_that_no_recipe_may_have_are_found_before_the_start(key, text):
    with pytest.raises(RecipeError, match=key):
        check_space(Space((parse_dimension(key, text),)), BASE)


def test_a_space_without_dimensions_is_refused():
    with pytest.raises(RecipeError, match="nothing to search"):
        check_space(Space(()), BASE)


def test_every_draw_of_the_default_space_is_a_recipe():
    check_space(space(), BASE)
    for settings in draws(space()):
        content = Recipe().model_dump(mode="json")
        for key, value in settings.items():
            set_key(content, key, value)
        parse_recipe(content)


def test_zero_is_drawn_about_a_fifth_of_the_time_and_nothing_between_it_and_the_lower_bound():
    values = [settings["loss.attention.weight"] for settings in draws(space(), 1000)]
    # A fifth, less the fifth of it where the clone term is zero already.
    assert 0.12 < sum(value == 0 for value in values) / len(values) < 0.2
    assert all(value == 0 or 0.01 <= value <= 10 for value in values)


def test_settings_without_effect_are_not_drawn():
    for settings in draws(space()):
        attention = settings["loss.attention.weight"]
        assert ("mutual_information.threshold" in settings) == (attention > 0)
        assert ("student.renewed" in settings) == (settings["student.start"] == "partial")
        patch = settings["perturbations.patch.probability"]
        assert ("perturbations.patch.strength" in settings) == (patch > 0)


def test_one_term_stays_when_all_are_drawn_to_zero():
    both = Space(
        (
            Dimension("loss.clone.weight", "choice", low=0.5, choices=(0.0,)),
            Dimension("loss.attention.weight", "zero_or_loguniform", 0.01, 10),
        )
    )
    assert all(settings["loss.attention.weight"] > 0 for settings in draws(both))


@pytest.mark.parametrize("text", ["choice(0,0.5,1)", "uniform(0,1)", "zero_or_uniform(0.1,1)"])
def test_the_last_term_gets_a_value_above_zero_whatever_its_values(text):
    both = Space(
        (
            Dimension("loss.clone.weight", "choice", choices=(0.0,)),
            parse_dimension("loss.attention.weight", text),
        )
    )
    assert all(settings["loss.attention.weight"] > 0 for settings in draws(both))


def test_the_base_recipe_is_a_point_of_the_default_space():
    point = space().point(BASE)
    assert space().suggest(optuna.trial.FixedTrial(point), BASE)["loss.attention.weight"] == 0.0
    assert point["training.learning_rate"] == Recipe().training.learning_rate


def test_a_base_outside_of_the_space_is_no_point_of_it():
    narrow = Space((Dimension("training.learning_rate", "loguniform", 1e-5, 1e-4),))
    assert narrow.point(BASE) is None


def test_a_pinned_key_is_not_searched_unless_it_is_named_again():
    key = "loss.clone.weight"
    fewer = changed(space(), [], pinned=[key])
    assert key not in fewer.described()
    again = [Dimension(key, "uniform", 1, 2)]
    assert changed(space(), again, pinned=[key]).described()[key] == "uniform(1, 2)"
