"""The recipe that `purify` takes by default, for the encoder.

The student starts as the suspect encoder and learns the plain image's feature from perturbed
images; default.toml, layer_norm.toml and imagenet.toml in configs/ have every key. The rate is the
strength.
"""

from __future__ import annotations

from typing import Annotated

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.recipe_distillation import distil_by_recipe, recipe_with
from mimic_ray.method.named_recipes import recipe_for


@strengths("rate", 0.25, 0.5, 1.0, 2.0)
def default(
    inputs: DefenceInputs,
    *,
    rate: Annotated[float, setting("Factor of the recipe's learning rate.", gt=0)] = 1.0,
    steps: Annotated[int, setting("Optimiser steps; 0: the recipe's.", ge=0)] = 0,
    batch: Annotated[int, setting("Images per step; 0: the recipe's.", ge=0)] = 0,
) -> Defended:
    """The default recipe of purify."""
    suspect = inputs.suspect
    name = recipe_for(suspect.spec.input_size, lambda: suspect.has_batch_norm)
    given = {"training.steps": steps, "training.batch": batch}
    changes = {key: value for key, value in given.items() if value}
    changes["training.seed"] = inputs.seed
    own = recipe_with(name, changes).training.learning_rate
    recipe = recipe_with(name, {**changes, "training.learning_rate": rate * own})
    return distil_by_recipe(inputs, recipe)
