"""The tables of a recipe that are keyed by the names of a registry.

    [perturbations.patch]      probability, strength, and settings of the perturbation
    [loss.contrastive]         weight, and settings of the term
    [estimators.gaussian]      settings of the estimator

A recipe has a table for every built-in member, with its defaults, and for each `file.py:name` that
it names. Settings of built-in members are validated here; those of a user's own members when the
run starts, since reading a recipe must not run a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from mimic_ray.base.member_settings import FrozenModel, setting, settings_model
from mimic_ray.base.registry import Registry
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.method.estimators.estimator_registry import ESTIMATORS
from mimic_ray.method.losses.loss_registry import LOSSES

M = TypeVar("M", bound=FrozenModel)

# The type of the error for a name that is in no registry; see recipe_keys.
UNKNOWN_MEMBER = "unknown_member"


class MemberTable(FrozenModel):
    """The table of one member: our keys, and `own`, the member's settings."""

    model_config = ConfigDict(extra="allow")

    @property
    def own(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class PerturbationTable(MemberTable):
    """One perturbation."""

    probability: Annotated[
        float, setting("Share of the student's images that get it; 0 turns it off.", ge=0, le=1)
    ] = 0.0
    strength: Annotated[
        float, setting("Scales the change; 0 leaves images as they are.", ge=0, le=4)
    ] = 1.0


class LossTable(MemberTable):
    """One term of the loss."""

    weight: Annotated[
        float, setting("Weight in the sum; a term of weight 0 is not computed.", ge=0)
    ] = 0.0


class Perturbations(RootModel[dict[str, PerturbationTable]]):
    """What the student's images get: independent draws, so that one may get several, in a random
    order."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        defaults = {
            name: {"probability": probability}
            for name, probability in (
                *(("patch", 0.3), ("blend", 0.3), ("frequency", 0.3)),
                *(("colour", 0.2), ("warp", 0.2)),
            )
        }
        return _complete(PERTURBATIONS, PerturbationTable, defaults, given)

    def active(self) -> dict[str, PerturbationTable]:
        """The perturbations that are drawn at all, in the order of the registry."""
        return {n: t for n, t in self.root.items() if t.probability > 0 and t.strength > 0}


class Loss(RootModel[dict[str, LossTable]]):
    """Terms of the loss. A number stands for a table with that weight."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            given = {name: as_loss_table(value) for name, value in given.items()}
        return _complete(LOSSES, LossTable, {"clone": {"weight": 1.0}}, given)

    def active(self) -> dict[str, LossTable]:
        """The terms that are computed, in the order of the registry."""
        return {name: table for name, table in self.root.items() if table.weight > 0}

    def weight(self, name: str) -> float:
        """The weight of a term, 0 for one that the recipe does not name."""
        return self.root[name].weight if name in self.root else 0.0


class Estimators(RootModel[dict[str, MemberTable]]):
    """Settings of the estimators of mutual information; only the chosen one's are read."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        return _complete(ESTIMATORS, MemberTable, {}, given)

    def own(self, name: str) -> dict[str, Any]:
        """The settings of one estimator, {} for one that the recipe does not name."""
        return self.root[name].own if name in self.root else {}


def as_loss_table(value: Any) -> Any:
    """A number as the table of a term with that weight; anything else as it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"weight": value} if is_number else value


@cache
def table_model(registry: Registry[Any], base: type[M], name: str) -> type[BaseModel]:
    """The keys of a member's table: ours and the member's; any, for a user's own member."""
    return settings_model(registry.member(name), base) if name in registry else base


def _complete(
    registry: Registry[Any], base: type[MemberTable], defaults: Mapping[str, Any], given: Any
) -> Any:
    """A table for every built-in member and every one that is given, with all their keys.

    Raises ValidationError with all mistakes.
    """
    if isinstance(given, BaseModel):
        given = given.model_dump()
    if not isinstance(given, Mapping):
        return given  # pydantic's own error says what it has to be
    problems: list[InitErrorDetails] = []
    tables: dict[str, Any] = {}
    for name in dict.fromkeys([*registry, *given]):
        table = given.get(name, {})
        if isinstance(table, BaseModel):
            table = table.model_dump()
        if not registry.takes(name):
            unknown = PydanticCustomError(UNKNOWN_MEMBER, "there is no such name")
            problems.append({"type": unknown, "loc": (name,), "input": table})
        elif not isinstance(table, Mapping):
            problems.append({"type": "dict_type", "loc": (name,), "input": table})
        else:
            try:
                model = table_model(registry, base, name)
                tables[name] = model(**{**defaults.get(name, {}), **table}).model_dump()
            except ValidationError as error:
                problems += [_nested(name, problem) for problem in error.errors()]
    if problems:
        raise ValidationError.from_exception_data("recipe", problems)
    return tables


def _nested(name: str, problem: Mapping[str, Any]) -> InitErrorDetails:
    return {
        "type": problem["type"],
        "loc": (name, *problem["loc"]),
        "input": problem["input"],
        "ctx": problem.get("ctx", {}),
    }
