"""A row of an evaluation, from what heads on its encoders answer for each test image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mimic_ray.evaluation.outcomes import Outcomes, acc_over, asr_over
from mimic_ray.evaluation.results import EvaluationRow, Proportion, Score


def evaluated_row(
    encoder: str,
    head: str,
    outcomes: Sequence[Outcomes],
    asr_b: Proportion | None = None,
    lasting: Mapping[str, Sequence[Outcomes]] | None = None,
) -> EvaluationRow:
    """Means over `outcomes`, those of each encoder of the row, with as many heads on each.

    The intervals cover encoders, the heads within each, and test images. The row keeps one score of
    each head, and no outcome of an image. `lasting` has the outcomes after further training, by the
    ending of their columns: "distilled", "tuned".
    """
    row = EvaluationRow(
        encoder,
        acc=acc_over(outcomes),
        asr=asr_over(outcomes),
        asr_b=asr_b,
        head=head,
        scores=tuple(
            score for number, each in enumerate(outcomes) for score in _scores(each, number)
        ),
    )
    measured = {name: found for name, found in (lasting or {}).items() if found}
    after: dict[str, Any] = {f"acc_{name}": acc_over(found) for name, found in measured.items()}
    after |= {f"asr_{name}": asr_over(found) for name, found in measured.items()}
    return replace(row, **after)


def _scores(outcomes: Outcomes, encoder: int) -> Iterator[Score]:
    for seed, correct in enumerate(outcomes.correct):
        hits = None if outcomes.hits is None else outcomes.hits[seed]
        asr = None if hits is None else Proportion.of(int(hits.sum()), len(hits))
        yield Score(seed, Proportion.of(int(correct.sum()), len(correct)), asr, encoder)
