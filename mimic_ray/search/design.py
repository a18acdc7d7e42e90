"""The first trials of a search: the base recipe, then points that fill the space evenly.

Trials that start before any result is known would otherwise be independent random draws, which
leave gaps and repeat each other. The points are a scrambled Sobol sequence (Sobol 1967, Owen 1998),
one coordinate for each searched key; a longer design begins with a shorter one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.quasirandom import SobolEngine

from mimic_ray.base import seeds
from mimic_ray.search.space import Space
from mimic_ray.search.trial import Value


def space_filling(
    space: Space, base: Mapping[str, Any], number: int, seed: int
) -> Iterator[dict[str, Value]]:
    """The settings of `number` trials, as `Space.suggest` gives them."""
    keys = [dimension.key for dimension in space.dimensions]
    if not keys:  # nothing is searched
        return
    engine = SobolEngine(len(keys), scramble=True, seed=int(seeds.keys(seed, "design")) % (1 << 31))
    for row in engine.draw(number).tolist():
        yield space.suggest(_Point(dict(zip(keys, row, strict=True))), base)


@dataclass(frozen=True)
class _Point:
    """A sampler that returns the values at one point of the unit cube."""

    shares: Mapping[str, float]  # by key, in [0, 1)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        share = self.shares[name]
        if log:
            return min(high, math.exp(math.log(low) + share * math.log(high / low)))
        return min(high, low + share * (high - low))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return min(high, low + int(self.shares[name] * (high - low + 1)))

    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value:
        return choices[min(len(choices) - 1, int(self.shares[name] * len(choices)))]
