"""A distillation by a recipe as a defence: profile where the loss reads taps, student, steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mimic_ray.base import seeds
from mimic_ray.base.devices import Compute
from mimic_ray.data.epoch import EpochPlan
from mimic_ray.defences.defence_registry import DefenceInputs, Defended
from mimic_ray.defences.training_loop import defended, suspect_as_teacher
from mimic_ray.encoders.taps import chosen_taps
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS
from mimic_ray.method.loop import Distillation
from mimic_ray.method.losses.weighted_terms import reads_taps, uses_second_view, weighted_terms
from mimic_ray.method.mi_profile import profiled_batches, score_taps, select
from mimic_ray.method.named_recipes import recipe_tables
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.recipe_keys import set_key
from mimic_ray.method.student import encoder_weights
from mimic_ray.method.student_start import first_student, untrained, with_weights
from mimic_ray.scanning.training_changes import NOT_SEARCHED, training_changes


def recipe_with(name: str, changes: Mapping[str, Any]) -> Recipe:
    """A recipe of the package with some keys changed, as "training.steps"."""
    tables = recipe_tables(name)
    for key, value in changes.items():
        set_key(tables, key, value)
    return parse_recipe(tables, name)


def distil_by_recipe(
    inputs: DefenceInputs, recipe: Recipe, weights: Mapping[str, float] | None = None
) -> Defended:
    """Runs the recipe with the seed of the inputs, in its own precision if it states one.

    `weights` are those of the taps; None takes them from the recipe's profile. Before the first
    step, `on_step` is called after each batch with no step done.
    """
    training = recipe.training
    compute = inputs.compute
    if training.precision != "auto":
        compute = replace(compute, precision=training.precision)
    # Too few images are refused before a profile takes minutes.
    EpochPlan(len(inputs.images), training.batch, training.seed)
    state = inputs.suspect.net.state_dict()
    with seeds.torch_seeded(inputs.seed, compute.torch_device):
        if weights is None:
            weights = tap_weights(inputs, recipe, compute) if reads_taps(recipe.loss) else {}
        student = first_student(inputs.architecture, state, recipe)
        teacher = suspect_as_teacher(inputs)
        openings = training_changes(
            teacher,
            inputs.images,
            recipe.openings,
            compute,
            inputs.seed,
            lambda *_: inputs.on_step(0, training.steps),
        )
        run = Distillation(
            student,
            teacher,
            inputs.images,
            recipe,
            weights,
            compute,
            openings=openings,
        )
        for row in run.run():
            inputs.on_step(int(row["step"]), training.steps)
        final = encoder_weights(run.state()["student"])
        made = with_weights(inputs.architecture, {k: v.cpu() for k, v in final.items()})
    views = 2 if uses_second_view(weighted_terms(recipe.loss).values()) else 1
    notes = (NOT_SEARCHED,) if recipe.openings.active and openings is None else ()
    return defended(made, views * training.steps * training.batch, *notes)


def tap_weights(inputs: DefenceInputs, recipe: Recipe, compute: Compute) -> dict[str, float]:
    """The weight of each kept tap, by the shares of the network that the recipe says."""
    settings, side = recipe.mutual_information, inputs.suspect.spec.input_size
    random = settings.of == "student"
    deciding = untrained(inputs.architecture, inputs.seed) if random else suspect_as_teacher(inputs)
    batches = profiled_batches(inputs.images, settings.images, side, compute)
    estimator = ESTIMATORS.resolve(settings.estimator, recipe.estimators.own(settings.estimator))
    taps = chosen_taps(deciding.spec, settings.taps)
    scores = score_taps(
        deciding,
        batches,
        estimator,
        compute,
        inputs.seed,
        taps,
        lambda: inputs.on_step(0, recipe.training.steps),
    )
    selected = zip(taps, select(scores, settings), strict=True)
    return {tap: weight for tap, (_, kept, weight) in selected if kept and weight > 0}
