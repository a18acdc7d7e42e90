"""The words below the table of an evaluation say what its intervals hold."""

from __future__ import annotations

from mimic_ray.report.evaluation_words import evaluation_note, interval_words
from tests.support.evaluated import row


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
