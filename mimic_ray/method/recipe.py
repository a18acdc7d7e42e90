"""All the settings of one distillation, validated together.

`configs/default.toml` holds the values we recommend, `configs/official.toml` the authors'. Every
key has the default recipe's value here, so a recipe file only names what it changes. Sizes are
shares of the image side, pixel values lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mimic_ray.base.devices import Precision
from mimic_ray.base.errors import RecipeError, UsageError
from mimic_ray.base.registry import near_names

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Basis = Literal["pixel", "fourier", "coarse", "patch"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Student(_Section):
    """Where the student starts."""

    # teacher: its weights; partial: its weights with a share re-initialised; random: none of them.
    start: Literal["teacher", "partial", "random"] = "teacher"
    # For "partial": the share of each layer's output channels that start anew.
    renewed: Share = 0.1


class Views(_Section):
    """What the two networks see of an image."""

    kind: Literal["flip_and_shift", "simclr"] = "flip_and_shift"
    shift: Share = 3 / 32
    # The student sees the perturbed image, the teacher the plain one. This removes the backdoor:
    # with equal views the student learns the teacher's answer to a trigger as well.
    asymmetric: bool = True
    # 0: each epoch has new views. K: an image has K views that come again, whose features and maps
    # the teacher then gives once; the perturbations are new each epoch all the same.
    fixed: Annotated[int, Field(ge=0, le=64)] = 0
    # The authors run the first view twice, so batch-norm statistics move three times a step.
    repeat_statistics: bool = False


class Family(_Section):
    """One perturbation family: how often an image gets it, and how strong it is."""

    probability: Share = 0.0
    strength: Annotated[float, Field(ge=0, le=4)] = 1.0


class Perturbations(_Section):
    """Independent draws, so that an image may get several, in a random order."""

    patch: Family = Family(probability=0.5)
    blend: Family = Family(probability=0.5)
    frequency: Family = Family(probability=0.5)
    colour: Family = Family(probability=0.3)
    warp: Family = Family(probability=0.3)
    blur: Family = Family()
    noise: Family = Family()

    def active(self) -> dict[str, Family]:
        """The families that are drawn at all, in the order of the fields."""
        families = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: f for name, f in families.items() if f.probability > 0 and f.strength > 0}


class Adversary(_Section):
    """A few perturbations common to all images, improved by the student's own gradient."""

    bases: tuple[Basis, ...] = ("pixel", "fourier", "coarse", "patch")
    slots_per_basis: Annotated[int, Field(ge=1, le=64)] = 2
    # Share of the student's images that get one, and how many slots share them in a step.
    share: Share = 0.5
    slots_per_step: Annotated[int, Field(ge=1, le=64)] = 4
    # L-infinity size; drawn anew in [0.5, 1.5] times this when a slot is renewed.
    size: Share = 0.14
    # A slot starts anew after this many uses: old perturbations are the ones already learnt.
    uses: Annotated[int, Field(ge=1)] = 16

    @property
    def active(self) -> bool:
        return self.share > 0 and len(self.bases) > 0


class Loss(_Section):
    """Weights of the terms; a term of weight 0 is not computed."""

    clone: Weight = 1.0
    attention: Weight = 0.0
    contrastive: Weight = 0.0
    temperature: Annotated[float, Field(gt=0)] = 0.5
    # Over positions: "sum" lets maps of all sizes count alike, "mean" is the authors'.
    attention_over: Literal["sum", "mean"] = "sum"
    # What an image's contrastive negatives are drawn from: the global batch, on any number of
    # workers the same loss, or what one worker has in memory, which needs no exchange.
    negatives: Literal["global", "local"] = "global"


class MutualInformation(_Section):
    """How the profile is estimated, and what it does to the attention term."""

    of: Literal["teacher", "student"] = "teacher"
    estimator: Literal["gaussian", "infonce", "donsker_varadhan", "uniform"] = "gaussian"
    images: Annotated[int, Field(ge=2)] = 2000
    # Which taps are scored at all: names or patterns such as "block*".
    taps: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    # A tap with a smaller share of the sum is not used.
    threshold: Share = 0.0
    # Weight of a kept tap = floor + scale * share.
    floor: Weight = 0.0
    scale: Weight = 1.0
    # For the trained estimators.
    epochs: Annotated[int, Field(ge=1)] = 200
    # For "gaussian": standard deviation of the noise added to the whitened features.
    noise: Annotated[float, Field(ge=0)] = 1.0


class Training(_Section):
    """The optimisation."""

    steps: Annotated[int, Field(ge=1)] = 600
    # Over all workers: the recipe means the same on any number of them.
    batch: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    # For another batch: the rate is that of a batch of 64, times batch / 64 or its square root.
    scale_learning_rate: Literal["none", "linear", "sqrt"] = "none"
    weight_decay: Weight = 0.0
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    warmup: Share = 0.1
    precision: Precision = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    # Each worker's share of a batch in this many parts, one in memory at a time; the step is that
    # of the whole share, save that batch norm sees a part.
    accumulate: Annotated[int, Field(ge=1)] = 1
    # Batch norm over the global batch where there are several workers, else over each one's share.
    sync_batch_norm: bool = True
    # Less memory for a second forward of the student; the result is the same.
    checkpoint_activations: bool = False
    # Encoders as torch.compile makes them: minutes more at the start, faster steps.
    compile: bool = False


class Recipe(_Section):
    """All of it. `Recipe()` is the default recipe."""

    student: Student = Student()
    views: Views = Views()
    perturbations: Perturbations = Perturbations()
    adversary: Adversary = Adversary()
    loss: Loss = Loss()
    mutual_information: MutualInformation = MutualInformation()
    training: Training = Training()

    @model_validator(mode="after")
    def _terms_agree(self) -> Recipe:
        problems = []
        loss = self.loss
        if loss.clone == loss.attention == loss.contrastive == 0:
            problems.append("loss: all weights are 0, so there is nothing to learn")
        if self.views.repeat_statistics and loss.contrastive == 0:
            problems.append("views.repeat_statistics needs the second view of loss.contrastive > 0")
        training = self.training
        if training.accumulate > training.batch:
            problems.append(
                f"training.accumulate = {training.accumulate} parts of training.batch = "
                f"{training.batch} images: some would be empty"
            )
        if training.accumulate > 1 and loss.contrastive > 0 and loss.negatives == "global":
            problems.append(
                "training.accumulate > 1 has only a part of the batch in memory: "
                'loss.contrastive needs loss.negatives = "local" with it'
            )
        if not self.views.asymmetric and self.adversary.active:
            problems.append("adversary.share > 0 needs views.asymmetric = true")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def parse_recipe(content: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A recipe from nested tables. Raises RecipeError with every mistake, near names included."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(source, [_sentence(problem) for problem in error.errors()]) from None


def check_workers(recipe: Recipe, workers: int) -> None:
    """Raises UsageError where `workers` cannot share a batch. They need not get equal shares."""
    training, loss = recipe.training, recipe.loss
    among = f"--workers {workers}"
    if training.accumulate > 1:
        among += f" and training.accumulate = {training.accumulate}"
    least = training.batch // workers // training.accumulate
    if least == 0:
        raise UsageError(
            f"training.batch = {training.batch} has no image for each part with {among}: set a "
            "larger batch, or fewer workers or parts."
        )
    if least == 1 and loss.contrastive > 0 and loss.negatives == "local":
        raise UsageError(
            f"training.batch = {training.batch} leaves some parts one image with {among}, and "
            'loss.contrastive no negatives: set a larger batch, or loss.negatives = "global".'
        )


def set_key(content: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets `training.steps` and the like in nested tables, in place."""
    *tables, last = dotted.split(".")
    for table in tables:
        content = content.setdefault(table, {})
        if not isinstance(content, dict):
            raise RecipeError(dotted, [f'"{table}" is a value, not a table'])
    content[last] = value


def known_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> list[str]:
    """Every dotted key of a recipe."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _near_keys(key: str) -> list[str]:
    """The dotted keys and sections that `key` was probably meant to be, nearest first."""
    keys = known_keys()
    known = {name: [name] for name in [*keys, *{key.rpartition(".")[0] for key in keys}]}
    for name in keys if "." not in key else []:
        known.setdefault(name.rpartition(".")[2], []).append(name)
    near = [key] if key in known else near_names(key, known)
    return [name for each in near for name in known[each]][:3]


def _sentence(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = _near_keys(where)
        advice = f" (did you mean {' or '.join(near)}?)" if near else ""
        return f'there is no key "{where}"{advice}'
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    return f"{where} = {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
