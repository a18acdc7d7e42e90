"""How well one order agrees with another: Spearman's rho with an interval over trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# With fewer, an interval would be as wide as the scale.
LEAST = 4


@dataclass(frozen=True)
class Ranking:
    """rho in [-1, 1] with a 95 % bootstrap interval over `count` pairs; NaN where undefined."""

    rho: float
    low: float
    high: float
    count: int


def spearman(
    first: Sequence[float], second: Sequence[float], seed: int = 0, resamples: int = 2000
) -> Ranking:
    """Correlation of the ranks; pairs with a NaN are left out, ties get their mean rank.

    Raises ValueError for sequences of different length.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values cannot be paired")
    pairs = np.array([first, second], dtype=float)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    count = pairs.shape[1]
    if count < LEAST:
        return Ranking(np.nan, np.nan, np.nan, count)
    drawn = np.random.default_rng(seed).integers(0, count, (resamples, count))
    found = np.array([_rho(pairs[:, rows]) for rows in drawn])
    found = found[np.isfinite(found)]  # a resample of one value has no order
    if not len(found):
        return Ranking(np.nan, np.nan, np.nan, count)
    low, high = np.percentile(found, [2.5, 97.5])
    return Ranking(float(_rho(pairs)), float(low), float(high), count)


def _rho(pairs: NDArray[np.float64]) -> float:
    x, y = (mean_ranks(row) for row in pairs)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else np.nan


def mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] -> ranks from 1 to N; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: NDArray[np.float64] = (last - counts + 1 + last) / 2
    return mean[inverse]
