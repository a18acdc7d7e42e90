"""Intervals of a share that hold the spread of seeds and of test images.

The outcome of each prediction is 0 or 1, in an array [S, H, N]: S seeds of purification, H seeds of
the head trained on each, N test images. The images are the same for all seeds, so seeds and images
are resampled independently (the pigeonhole bootstrap: Owen, Ann. Appl. Stat. 1 (2007), 386-411);
heads belong to a purification and are resampled within it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_ray.evaluation.intervals import wilson
from mimic_ray.evaluation.results import Proportion

RESAMPLES = 1000


def bootstrap(
    outcomes: NDArray[Any], resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `outcomes` [S, H, N].

    With few seeds it is too narrow in its part that comes from seeds: the variance of a mean of S
    values is underestimated by the factor (S - 1) / S.
    """
    draw = np.random.default_rng(seed)
    seeds, heads, images = outcomes.shape
    flat = outcomes.reshape(seeds * heads, images).astype(np.float32)
    means = np.empty((resamples, seeds * heads), np.float32)
    for row in means:
        counts = np.bincount(draw.integers(0, images, images), minlength=images)
        row[:] = flat @ counts.astype(np.float32) / images
    by_seed = means.reshape(resamples, seeds, heads)
    chosen = draw.integers(0, seeds, (resamples, seeds, 1))
    chosen_heads = draw.integers(0, heads, (resamples, seeds, heads))
    found = by_seed[np.arange(resamples)[:, None, None], chosen, chosen_heads].mean(axis=(1, 2))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def over_seeds_and_images(outcomes: NDArray[Any]) -> Proportion:
    """The mean of `outcomes` [S, H, N] with its 95 % interval.

    It holds the bootstrap's interval and the Wilson interval of the mean, because the bootstrap
    has no width where all outcomes are equal. For one head on one encoder (S = H = 1) there are
    only images, and it is the Wilson interval.
    """
    seeds, heads, images = outcomes.shape
    successes = float(outcomes.mean(axis=(0, 1)).sum()) if images else 0.0
    low, high = wilson(successes, images)
    if images and seeds * heads > 1:
        lowest, highest = bootstrap(outcomes)
        low, high = min(low, lowest), max(high, highest)
    return Proportion(successes, images, low, high)
