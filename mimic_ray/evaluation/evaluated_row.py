"""A row of an evaluation, from what the heads of its encoder answer for each test image."""

from __future__ import annotations

from collections.abc import Iterator

from mimic_ray.evaluation.outcomes import Outcomes, acc_over, asr_over
from mimic_ray.evaluation.results import EvaluationRow, Proportion, Score


def evaluated_row(
    encoder: str, head: str, outcomes: Outcomes, asr_b: Proportion | None = None
) -> EvaluationRow:
    """Means over the heads of `outcomes`, with intervals over heads and test images.

    The row keeps one score of each head, and no outcome of an image.
    """
    return EvaluationRow(
        encoder,
        acc=acc_over([outcomes]),
        asr=asr_over([outcomes]),
        asr_b=asr_b,
        head=head,
        scores=tuple(_scores(outcomes)),
    )


def _scores(outcomes: Outcomes) -> Iterator[Score]:
    for seed, correct in enumerate(outcomes.correct):
        hits = None if outcomes.hits is None else outcomes.hits[seed]
        asr = None if hits is None else Proportion.of(int(hits.sum()), len(hits))
        yield Score(seed, Proportion.of(int(correct.sum()), len(correct)), asr)
