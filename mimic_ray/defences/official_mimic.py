"""MIMIC as published: the recipe `official`, term by term the authors' code, for fewer steps.

A random student, SimCLR views that both encoders see, clone loss, attention with weights from
mutual information, NT-Xent, Adam with a constant rate of 1e-2 (configs/official.toml has all).

Source: "Mutual Information Guided Backdoor Mitigation for Pre-trained Encoders", arXiv 2406.03508;
code wssun/MIMIC. Departures: by default 600 steps of 64 where theirs are 15,000 of 128, and 20
epochs of the estimator where theirs are 200, which take longer than the training. The paper takes
the mutual information of the teacher, the code that of the random student: `of` has both.
"""

from __future__ import annotations

from typing import Annotated, Literal

from mimic_ray.base.member_settings import setting
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths
from mimic_ray.defences.recipe_distillation import distil_by_recipe, recipe_with


@strengths("steps", 1200, 600, 300)
def official(
    inputs: DefenceInputs,
    *,
    of: Annotated[
        Literal["student", "teacher"], setting("Network whose mutual information weights layers.")
    ] = "student",
    steps: Annotated[
        int, setting("Steps; a student that starts at random is further away after fewer.", ge=1)
    ] = 600,
    batch: Annotated[int, setting("Images per step, each in two views.", ge=2)] = 64,
    rate: Annotated[float, setting("Learning rate of Adam.", gt=0)] = 1e-2,
    estimator: Annotated[
        Literal["donsker_varadhan", "gaussian", "infonce", "uniform"],
        setting("Of the mutual information; the first one is the authors'."),
    ] = "donsker_varadhan",
    estimator_epochs: Annotated[int, setting("Epochs of donsker_varadhan.", ge=1)] = 20,
) -> Defended:
    """MIMIC as published (recipe `official`)."""
    recipe = recipe_with(
        "official",
        {
            "mutual_information.of": of,
            "mutual_information.estimator": estimator,
            "estimators.donsker_varadhan.epochs": estimator_epochs,
            "training.steps": steps,
            "training.batch": batch,
            "training.learning_rate": rate,
            "training.seed": inputs.seed,
        },
    )
    return distil_by_recipe(inputs, recipe)
