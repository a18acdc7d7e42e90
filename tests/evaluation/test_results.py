"""Rows of an evaluation as plain data."""

import json

import pytest

from mimic_ray.evaluation.results import Evaluation, EvaluationRow, Proportion, Score
from tests.support.frame_columns import columns_of


def row() -> EvaluationRow:
    scores = (
        Score(0, Proportion.of(80, 100), Proportion.of(9, 90)),
        Score(1, Proportion.of(83, 100), Proportion.of(0, 90)),
    )
    means = {
        "acc": Proportion(81.5, 100, 0.70, 0.90),
        "asr": Proportion(4.5, 90, 0.0, 0.12),
        "asr_b": Proportion.of(1, 90),
    }
    return EvaluationRow("attacked", **means, head="mlp", scores=scores)


def alone() -> EvaluationRow:
    """One head, without a trigger."""
    acc = Proportion.of(8, 10)
    return EvaluationRow("clean", acc, head="knn", scores=(Score(0, acc),))


def test_a_row_has_the_extremes_of_its_seeds():
    assert row().acc_range() == (0.80, 0.83)
    assert row().asr_range() == (0.0, 0.1)
    assert alone().asr_range() is None


def test_a_row_of_several_encoders_counts_them_and_the_heads_on_each():
    two = [Score(seed, Proportion.of(8, 10), encoder=n) for n in (0, 1) for seed in range(3)]
    found = EvaluationRow("purified", Proportion.of(8, 10), head="mlp", scores=tuple(two))
    assert (found.encoders, found.heads) == (2, 3)
    assert (found.flat()["encoders"], found.flat()["heads"]) == (2, 3)
    assert Evaluation.from_json(Evaluation((found,)).to_json()).rows == (found,)


def test_a_frame_has_shares_with_their_interval_and_their_range():
    frame = columns_of(Evaluation((row(),)).to_frame())
    assert (frame["encoder"], frame["head"], frame["heads"]) == (["attacked"], ["mlp"], [2])
    assert frame["acc"][0] == pytest.approx(0.815)
    assert (frame["acc_low"], frame["acc_high"]) == ([0.70], [0.90])
    assert (frame["acc_min"], frame["acc_max"]) == ([0.80], [0.83])
    assert frame["asr_b_low"][0] < frame["asr_b"][0] == pytest.approx(1 / 90)


def test_what_was_not_measured_is_none_in_a_flat_row():
    flat = alone().flat()
    assert (flat["asr"], flat["asr_low"], flat["asr_max"], flat["asr_b"]) == (None,) * 4


def test_an_evaluation_is_read_back_unchanged():
    evaluation = Evaluation((row(), alone()), {"trigger": "patch", "target": "9 (truck)"})
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
