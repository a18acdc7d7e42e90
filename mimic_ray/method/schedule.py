"""Learning rate as a function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from typing import Literal

# The batch that a scaled learning rate is stated for: the default recipe's.
_BATCH_OF_RATE = 64


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


def peak_rate(rate: float, batch: int, rule: Literal["none", "linear", "sqrt"]) -> float:
    """The recipe's rate for its batch. The number of workers has no part in it.

    linear: Goyal et al., arXiv 1706.02677; sqrt: for Adam, Malladi et al., arXiv 2205.10287.
    """
    share = batch / _BATCH_OF_RATE
    return rate * {"none": 1.0, "linear": share, "sqrt": math.sqrt(share)}[rule]
