"""How far a share may be from the truth, for the number of images it was measured on."""

from __future__ import annotations

from math import sqrt

# The normal distribution's 97.5 % point: 95 % two-sided.
_Z = 1.959963984540054


def wilson(successes: float, total: int) -> tuple[float, float]:
    """The 95 % interval of successes / total, in [0, 1]; all of [0, 1] for nothing measured.

    Wilson, J. Am. Stat. Assoc. 22 (1927): unlike the textbook interval it stays inside [0, 1] and
    has a width at 0 and at `total`. `successes` may be a mean over repetitions on the same images.
    """
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    centre = share + _Z**2 / (2 * total)
    reach = _Z * sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    scale = 1 + _Z**2 / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)
