"""Every setting of a distillation, validated together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import ValidationError, model_validator

from mimic_ray.base import user_code
from mimic_ray.base.errors import RecipeError, UsageError, option
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS
from mimic_ray.method.losses.weighted_terms import uses_second_view, weighted_terms
from mimic_ray.method.recipe_keys import sentences
from mimic_ray.method.recipe_sections import Sections


class Recipe(Sections):
    """All settings of a distillation, validated. `Recipe()` is the default recipe.

    Its tables and keys are those of a recipe file; the page "Recipe keys" of the documentation
    describes each of them. A recipe cannot be changed. Invalid settings raise a RecipeError, which
    names all mistakes.

    Example:
        recipe = mimic_ray.Recipe(training={"steps": 300})
        print(recipe.training.steps, recipe.training.batch)
    """

    # Pydantic calls it for `model_validate` as well.
    def __init__(self, **tables: Any) -> None:
        try:
            super().__init__(**tables)
        except ValidationError as error:
            raise _recipe_error(error) from None

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:  # not a table at all
            raise _recipe_error(error) from None

    @model_validator(mode="after")
    def _sections_agree(self) -> Recipe:
        # Terms of a user's own are checked by `check_recipe`, which runs their files.
        problems = [*_contradictions(self), *_term_problems(self, 1, with_user_code=False)]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def parse_recipe(content: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A recipe from nested tables. Raises RecipeError with every mistake, near names included."""
    try:
        return Recipe.model_validate(content)
    except RecipeError as error:
        raise RecipeError(source, error.problems) from None


def _recipe_error(error: ValidationError) -> RecipeError:
    return RecipeError("recipe", sentences(error))


def check_recipe(recipe: Recipe, workers: int = 1) -> None:
    """Loads the user's own members and checks that `workers` can share a batch.

    They need not get equal shares. Raises UsageError with everything that is wrong.
    """
    for name, table in recipe.perturbations.active().items():
        PERTURBATIONS.resolve(name, table.own)
    estimator = recipe.mutual_information.estimator
    ESTIMATORS.resolve(estimator, recipe.estimators.own(estimator))
    if recipe.training.batch // workers // recipe.training.accumulate == 0:
        raise UsageError(
            f"{_parts(recipe, workers)} leaves some parts without an image: set a larger batch, "
            "or fewer workers or parts."
        )
    if problems := [*_term_problems(recipe, workers, with_user_code=True)]:
        raise UsageError(f"{_parts(recipe, workers)}: {'; '.join(problems)}.")


def user_members(recipe: Recipe) -> list[str]:
    """Every `file.py:name` that the recipe uses."""
    names = [*recipe.perturbations.active(), *recipe.loss.active()]
    names.append(recipe.mutual_information.estimator)
    return [name for name in dict.fromkeys(names) if user_code.is_user_code(name)]


def _contradictions(recipe: Recipe) -> Iterator[str]:
    training = recipe.training
    if not recipe.loss.active():
        yield "loss: all weights are 0, so there is nothing to learn"
    if training.accumulate > training.batch:
        yield (
            f"training.accumulate = {training.accumulate} parts of training.batch = "
            f"{training.batch} images: some would be empty"
        )
    if not recipe.views.asymmetric and recipe.adversary.active:
        yield "adversary.share > 0 needs views.asymmetric = true"
    if not recipe.views.asymmetric and recipe.openings.active:
        yield "openings.share > 0 needs views.asymmetric = true"


def _term_problems(recipe: Recipe, workers: int, *, with_user_code: bool) -> Iterator[str]:
    """What keeps a term of the loss from being computed."""
    terms = weighted_terms(recipe.loss, with_user_code=with_user_code)
    parts = recipe.training.accumulate
    for name, term in terms.items():
        if problem := term.compute.problem(parts, recipe.training.batch // workers // parts):
            yield f"loss.{name} {problem}"
    complete = len(terms) == len(recipe.loss.active())
    if recipe.views.repeat_statistics and complete and not uses_second_view(terms.values()):
        yield "views.repeat_statistics needs a loss term with a second view, as loss.contrastive"


def _parts(recipe: Recipe, workers: int) -> str:
    training = recipe.training
    parts = f" and training.accumulate = {training.accumulate}" if training.accumulate > 1 else ""
    return f"training.batch = {training.batch} with {option('workers', workers)}{parts}"
