"""What a search may change: recipe keys, each with the values it may take.

    training.learning_rate = loguniform(1e-4, 1e-2)
    loss.attention.weight  = zero_or_loguniform(0.01, 10)     0, or 0.01 to 10 on a log scale
    training.batch         = choice(32, 64, 128)
    training.steps         = int(200, 800)

A space is checked against the recipe before anything starts: every bound and every choice must
make a valid recipe.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mimic_ray.base.errors import RecipeError, option
from mimic_ray.base.text import plain
from mimic_ray.data.perturbations.perturbation_registry import PERTURBATIONS
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.recipe_keys import (
    is_known_key,
    join_key,
    near_keys,
    read_key,
    set_key,
    whole_key,
)
from mimic_ray.search.relevance import is_relevant
from mimic_ray.search.trial import Value

Kind = Literal["uniform", "loguniform", "zero_or_uniform", "zero_or_loguniform", "int", "choice"]
_RANGES = ("uniform", "loguniform", "zero_or_uniform", "zero_or_loguniform", "int")
_FORM = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_EXAMPLE = "write it like training.learning_rate=loguniform(1e-4,1e-2)"
# This part of a range that includes zero, in front of its lower bound, stands for zero.
_ZERO_SHARE = 0.2


class Sampler(Protocol):
    """What suggests values: an optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float: ...
    def suggest_int(self, name: str, low: int, high: int) -> int: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True)
class Dimension:
    """One recipe key and its values: a range from `low` to `high`, or `choices`."""

    key: str
    kind: Kind
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Value, ...] = ()

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"choice({', '.join(map(_shown, self.choices))})"
        return f"{self.kind}({_shown(self.low)}, {_shown(self.high)})"

    def edges(self) -> list[Value]:
        """The values that must make a valid recipe."""
        if self.kind == "choice":
            return [*self.choices]
        bounds: list[Value] = [self.low, self.high]
        if self.kind == "int":
            bounds = [int(self.low), int(self.high)]
        return [0.0, *bounds] if self._with_zero else bounds

    def above_zero(self) -> Value:
        """A value above zero, the smallest if there is one; 0.0 if there is none."""
        if self.kind == "choice":
            numbers = [c for c in self.choices if isinstance(c, int | float) and c > 0]
            return min(numbers, default=0.0)
        if self.kind == "int":
            return max(1, int(self.low)) if self.high >= 1 else 0.0
        return self.low if self.low > 0 else max(self.high, 0.0)

    def suggest(self, sampler: Sampler) -> Value:
        """A value for the key; what the sampler is asked for may lie below `low`, meaning zero."""
        if self.kind == "choice":
            chosen: Value = sampler.suggest_categorical(self.key, self.choices)
            return chosen
        if self.kind == "int":
            return sampler.suggest_int(self.key, int(self.low), int(self.high))
        # Zero lies next to the smallest values, so that a sampler sees one continuous scale.
        drawn = sampler.suggest_float(self.key, self._floor, self.high, log=self._is_log)
        return drawn if drawn >= self.low else 0.0

    def point(self, value: Any) -> Value | None:
        """What a sampler would have drawn for `value`, None if the space does not hold it."""
        if self.kind == "choice":
            return next((choice for choice in self.choices if choice == value), None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self._with_zero and value == 0:
            return self._floor
        if not self.low <= value <= self.high:
            return None
        return int(value) if self.kind == "int" else float(value)

    @property
    def _is_log(self) -> bool:
        return self.kind.endswith("loguniform")

    @property
    def _with_zero(self) -> bool:
        return self.kind.startswith("zero_or_")

    @property
    def _floor(self) -> float:
        if not self._with_zero:
            return self.low
        share = _ZERO_SHARE / (1 - _ZERO_SHARE)
        if self._is_log:
            return self.low * (self.low / self.high) ** share
        return self.low - share * (self.high - self.low)


@dataclass(frozen=True)
class Space:
    """The dimensions of a search, in the order in which they are drawn."""

    dimensions: tuple[Dimension, ...]

    def suggest(self, sampler: Sampler, base: Mapping[str, Any]) -> dict[str, Value]:
        """Values for the searched keys that matter, given the ones drawn before and `base`."""
        content, settings = _copied(base), {}
        for dimension in self.dimensions:
            if not is_relevant(dimension.key, content):
                continue
            value = dimension.suggest(sampler)
            if dimension.key.endswith(".weight") and self._last_term(dimension.key, value, content):
                value = dimension.above_zero()  # all terms zero would leave nothing to learn
            settings[dimension.key] = value
            set_key(content, dimension.key, value)
        return settings

    def point(self, base: Mapping[str, Any]) -> dict[str, Value] | None:
        """The draws that give `base` itself, None if the space does not hold it."""
        point = {}
        for dimension in self.dimensions:
            if is_relevant(dimension.key, base):
                drawn = dimension.point(read_key(base, dimension.key))
                if drawn is None:
                    return None
                point[dimension.key] = drawn
        return point

    def described(self) -> dict[str, str]:
        """key -> values as a user writes them."""
        return {dimension.key: str(dimension) for dimension in self.dimensions}

    def _last_term(self, key: str, value: Value, content: Mapping[str, Any]) -> bool:
        """Whether setting loss term `key` to `value` would leave no term, now or later."""
        if value != 0:
            return False
        undrawn = {d.key for d in self.dimensions[self._index(key) + 1 :]}
        terms = [join_key(("loss", name, "weight")) for name in content["loss"]]
        others = [term for term in terms if term != key]
        return all(read_key(content, term) == 0 and term not in undrawn for term in others)

    def _index(self, key: str) -> int:
        return [dimension.key for dimension in self.dimensions].index(key)


def default_space(base: Recipe, thresholds: Sequence[float]) -> Space:
    """The space that is searched by default.

    `thresholds` gives each set of kept layers once (see `kept_layers.distinct_thresholds`).
    """
    rate = base.training.learning_rate
    dimensions = [
        Dimension("loss.clone.weight", "zero_or_loguniform", 0.1, 10),
        Dimension("loss.attention.weight", "zero_or_loguniform", 0.01, 10),
        Dimension("mutual_information.threshold", "choice", choices=(*thresholds,)),
        Dimension("student.start", "choice", choices=("teacher", "partial", "random")),
        Dimension("student.renewed", "loguniform", 0.01, 0.3),
        Dimension("training.learning_rate", "loguniform", rate / 10, rate * 4),
    ]
    for name in PERTURBATIONS:
        at = f"perturbations.{name}"
        dimensions.append(Dimension(f"{at}.probability", "zero_or_uniform", 0.1, 0.8))
        dimensions.append(Dimension(f"{at}.strength", "loguniform", 0.5, 2))
    return Space(tuple(dimensions))


def changed(space: Space, dimensions: Iterable[Dimension], pinned: Iterable[str] = ()) -> Space:
    """`space` with these dimensions added or replaced, and without the pinned keys."""
    by_key = {dimension.key: dimension for dimension in space.dimensions}
    by_key.update({dimension.key: dimension for dimension in dimensions})
    fixed = {*pinned} - {dimension.key for dimension in dimensions}
    return Space(tuple(d for key, d in by_key.items() if key not in fixed))


def parse_dimension(key: str, text: str) -> Dimension:
    """`loguniform(1e-4, 1e-2)` for a recipe key. Raises RecipeError with the way to write it."""
    typed, key = key.strip(), whole_key(key.strip())
    if not is_known_key(key):
        near = near_keys(typed)
        advice = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise RecipeError("search", [f'there is no key "{plain(typed)}"{advice}'])
    form = _FORM.fullmatch(text)
    if not form or form[1] not in (*_RANGES, "choice"):
        names = ", ".join((*_RANGES, "choice"))
        raise _wrong(key, f"{plain(text)} is not one of {names}: {_EXAMPLE}")
    kind, inside = form[1], form[2]
    try:
        values = tomllib.loads(f"values = [{inside}]")["values"]
    except tomllib.TOMLDecodeError:
        # Bare words are strings.
        values = [_value(word) for word in inside.split(",") if word.strip()]
    return _choice(key, values) if kind == "choice" else _range(key, kind, values)


def check_space(space: Space, base: Mapping[str, Any]) -> None:
    """Raises RecipeError naming every key with a bound or choice that no recipe may have."""
    problems = []
    if not space.dimensions:
        problems.append(f"there is nothing to search: every key is fixed by {option('settings')}")
    for dimension in space.dimensions:
        if dimension.key.endswith(".weight") and not dimension.above_zero():
            problems.append(f"{dimension.key} = {dimension}: it has no value above 0")
        for value in dimension.edges():
            content = _copied(base)
            set_key(content, dimension.key, value)
            if dimension.key.endswith(".weight") and value == 0:
                continue  # suggest() sees to it that one term stays
            try:
                parse_recipe(content, "search")
            except RecipeError as error:
                problems.append(f"{dimension.key} = {dimension}: {'; '.join(error.problems)}")
                break
    if problems:
        raise RecipeError("search", problems)


def _choice(key: str, values: list[Any]) -> Dimension:
    if len(values) < 1:
        raise _wrong(key, "choice() has no value")
    if bad := [value for value in values if isinstance(value, list | dict)]:
        raise _wrong(key, f"{bad[0]} is not a single value")
    return Dimension(key, "choice", choices=tuple(dict.fromkeys(values)))


def _range(key: str, kind: Any, values: list[Any]) -> Dimension:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(values) != 2 or len(numbers) != 2 or not all(map(math.isfinite, numbers)):
        raise _wrong(key, f"{kind}(...) takes two numbers: {_EXAMPLE}")
    low, high = numbers
    if low >= high:
        raise _wrong(key, f"{kind}({low}, {high}) is empty: the first must be the smaller")
    if kind.endswith("loguniform") and low <= 0:
        zero = "zero_or_loguniform" if low == 0 else "uniform"
        raise _wrong(key, f"{kind}({low}, {high}) begins at or below 0: see {zero}")
    if kind == "zero_or_uniform" and low < 0:
        raise _wrong(key, f"{kind}({low}, {high}) begins below 0: see uniform")
    if kind == "int" and (low != int(low) or high != int(high)):
        raise _wrong(key, f"int({low}, {high}) takes whole numbers")
    return Dimension(key, kind, low, high)


def _wrong(key: str, problem: str) -> RecipeError:
    return RecipeError("search", [f"{key}: {problem}"])


def _value(word: str) -> Any:
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word.strip()


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _copied(content: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in content.items()}
