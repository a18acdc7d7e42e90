"""The MI threshold as what it does: of L layers it keeps the k with the largest shares.

So there are at most L distinct outcomes, however finely the threshold is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def distinct_thresholds(shares: Sequence[float]) -> list[float]:
    """One threshold for each set of kept layers, from all layers to the first one alone.

    Half-way between two shares, since the shares move a little with the images. Equal shares stay
    together: no threshold parts them.
    """
    values = sorted({*shares})
    return [0.0, *((low + high) / 2 for low, high in pairwise(values))]


def canonical_threshold(shares: Sequence[float], threshold: float) -> float:
    """The one of `distinct_thresholds` that keeps the same layers; 1 if it keeps none."""
    kept = sum(share >= threshold for share in shares)
    for candidate in distinct_thresholds(shares):
        if sum(share >= candidate for share in shares) == kept:
            return candidate
    return 1.0
