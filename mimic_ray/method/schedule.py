"""Learning rate as a function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from typing import Literal


def learning_rate(
    step: int, steps: int, peak: float, schedule: Literal["one_cycle", "constant"], warmup: float
) -> float:
    """The rate for `step` of 0 .. steps-1.

    one_cycle: linear from peak/25 to peak over the first `warmup` share, then a cosine to zero.
    """
    if schedule == "constant":
        return peak
    rising = max(1.0, warmup * steps)
    if step < rising:
        return peak * (1 / 25 + (1 - 1 / 25) * step / rising)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1.0, steps - rising)))
