"""The words below the table of an evaluation say what its intervals cover."""

from __future__ import annotations

from mimic_ray.evaluation.evaluated_row import evaluated_row
from mimic_ray.evaluation.results import EvaluationRow
from mimic_ray.report.evaluation_words import evaluation_note, interval_words, row_labels
from tests.support.evaluated import outcomes, row


def of_three(heads: int, head: str = "mlp") -> EvaluationRow:
    """Three encoders with `heads` heads on each."""
    counts = range(700, 1000, 100)
    return evaluated_row("purified", head, [outcomes([acc] * heads) for acc in counts])


def test_the_note_has_the_largest_spread_over_heads(evaluation):
    # ACC 81.0-82.0 and 83.0-83.4; ASR 873-870 and 20-29 of 900.
    note = evaluation_note(evaluation.rows)
    assert "Means of 2 heads" in note
    assert "in ACC by 1.0 and in ASR by 1.0 points" in note


def test_intervals_hold_heads_where_there_are_several(evaluation):
    assert interval_words(evaluation.rows) == "over heads and test images"
    assert interval_words(evaluation.rows) in evaluation_note(evaluation.rows)


def test_one_head_has_intervals_over_images_and_no_spread():
    note = evaluation_note([row("one", (800,))])
    assert note == "95 % confidence intervals over test images in brackets."


def test_a_row_of_several_encoders_says_how_many():
    rows = [row("suspect", (800, 810)), of_three(2)]
    assert row_labels(rows) == ["suspect", "purified (3 encoders)"]
    assert row_labels([*rows, of_three(1, "knn")])[1:] == [
        "purified (3 encoders), mlp",
        "purified (3 encoders), knn",
    ]


def test_the_note_says_that_encoders_are_held():
    note = evaluation_note([row("suspect", (800, 810)), of_three(2)])
    assert "intervals over encoders, heads and test images" in note
    assert "Rows of one encoder do not cover other purifications." in note
    assert "one encoder" not in evaluation_note([of_three(2)])
    assert "Means of 2 heads on each encoder; they differ at most in ACC by 20.0 points." in note


def test_with_one_head_on_each_only_encoders_differ():
    note = evaluation_note([of_three(1)])
    assert "intervals over encoders and test images" in note
    assert "Means of the encoders of a row; they differ at most in ACC by 20.0 points." in note
