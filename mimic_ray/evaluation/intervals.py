"""Confidence intervals of measured shares."""

from __future__ import annotations

from math import sqrt

# The 97.5 % quantile of the normal distribution, for a two-sided 95 % interval.
_Z = 1.959963984540054


def wilson(successes: float, total: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of successes / total; [0, 1] if `total` is 0.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927). Unlike the normal approximation it stays inside
    [0, 1] and has a width at 0 and at `total`. `successes` may be a mean over repetitions on the
    same images.
    """
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    centre = share + _Z**2 / (2 * total)
    reach = _Z * sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    scale = 1 + _Z**2 / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
