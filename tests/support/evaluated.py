"""Rows of an evaluation from numbers of successes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimic_ray.evaluation.evaluated_row import evaluated_row
from mimic_ray.evaluation.outcomes import Bits, Outcomes
from mimic_ray.evaluation.results import EvaluationRow, Proportion


def bits(counts: Sequence[int], total: int) -> Bits:
    """Outcomes [H, `total`]: of each head, the first `counts` images are successes."""
    return (np.arange(total) < np.array(counts)[:, None]).astype(np.uint8)


def outcomes(acc: Sequence[int], asr: Sequence[int] = ()) -> Outcomes:
    """Of heads on 1,000 test images, 900 of them with the trigger."""
    return Outcomes(bits(acc, 1000), bits(asr, 900) if asr else None)


def row(
    encoder: str,
    acc: Sequence[int],
    asr: Sequence[int] = (),
    floor: Proportion | None = None,
    head: str = "mlp",
) -> EvaluationRow:
    """One encoder with as many heads as numbers."""
    return evaluated_row(encoder, head, [outcomes(acc, asr)], floor)
