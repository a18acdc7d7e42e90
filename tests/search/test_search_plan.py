from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.search.relevance import canonical
from mimic_ray.search.search_plan import SearchPlan
from mimic_ray.search.space import Space

BASE = Recipe()


def plan(**fields):
    return SearchPlan("tiny_resnet", Space(()), BASE, None, trials=4, seed=0, **fields)


def recipe(steps):
    content = BASE.model_dump(mode="json")
    content["training"]["steps"] = steps
    return canonical(parse_recipe(content), None)


def test_a_trial_may_end_at_a_quarter_and_at_half_of_its_steps():
    assert plan().rungs(recipe(400)) == (100, 200)


def test_no_rung_lies_at_or_beyond_the_last_step():
    assert plan().rungs(recipe(3)) == (1, 2)
    assert plan().rungs(recipe(2)) == (1,)
    assert plan().rungs(recipe(1)) == ()


def test_the_base_recipe_runs_to_its_end():
    assert plan().rungs(canonical(BASE, None)) == ()


def test_without_early_stopping_every_trial_runs_to_its_end():
    assert plan(early_stopping=False).rungs(recipe(400)) == ()
